package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// maxConfigBytes bounds a config file: a directory or a disk image given by
// mistake must not be read whole.
const maxConfigBytes = 1 << 20

// lineError is a mistake at a line of a config file.
type lineError struct {
	line int
	msg  string
}

func (e *lineError) Error() string { return e.msg }

// loadConfig reads and checks a config file. Relative paths in it become
// relative to the file's own directory.
func loadConfig(path string) (*config, error) {
	text, err := readConfigFile(path)
	if err != nil {
		return nil, err
	}
	cfg, err := parseConfig(text)
	if err != nil {
		return nil, configError(path, err)
	}
	if err := cfg.resolve(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if mistakes := cfg.Validate(); len(mistakes) > 0 {
		return nil, fmt.Errorf("%s: %s", path, strings.Join(mistakes, "; "))
	}
	return cfg, nil
}

func readConfigFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config file: %w: name one with --config", err)
	}
	defer f.Close() // only read
	return readAtMost(f, path, maxConfigBytes)
}

// readAtMost reads all of r, which must not be more than limit.
func readAtMost(r io.Reader, name string, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes: is this the right file?", name, limit)
	}
	return text, nil
}

// parseConfig decodes one YAML document over the defaults. Unknown and
// duplicate keys are errors.
func parseConfig(text []byte) (*config, error) {
	cfg := defaultConfig()
	dec := yaml.NewDecoder(bytes.NewReader(text), yaml.DisallowUnknownField())
	switch err := dec.Decode(cfg); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("empty: docs/twofold.sample.yaml shows what belongs here")
	case err != nil:
		return nil, err
	}
	if err := dec.Decode(new(config)); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one YAML document: keep one and remove the rest")
	}
	return cfg, nil
}

// configError turns a decoder's error, which draws the place over several
// lines, into one line with the file and the line number.
func configError(path string, err error) error {
	var own *lineError
	if errors.As(err, &own) {
		return fmt.Errorf("%s:%d: %s", path, own.line, own.msg)
	}
	var y yaml.Error
	if !errors.As(err, &y) {
		return fmt.Errorf("%s: %w", path, err)
	}
	msg := strings.ReplaceAll(y.GetMessage(), "\n", " ")
	if name, ok := strings.CutPrefix(msg, "unknown field "); ok {
		msg = fmt.Sprintf("unknown key %s: correct or remove it", name)
		if name == `"exports"` {
			msg = "exports: are not in the config: they are one table for both nodes; write them into a file like /etc/exports, and name it with exports_file"
		}
	}
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) && !strings.HasPrefix(msg, "mapping key ") { // a key that is there twice says it well
		msg = fmt.Sprintf("no YAML: %s: check colons, quotes and indents, which are blanks and no tabs", strings.ReplaceAll(msg, "\t", `\t`))
	}
	if t := y.GetToken(); t != nil && t.Position != nil {
		return fmt.Errorf("%s:%d: %s", path, t.Position.Line, msg)
	}
	return fmt.Errorf("%s: %s", path, msg)
}

// resolve makes paths absolute and fills in what follows from other keys.
func (c *config) resolve(base string) error {
	base, err := filepath.Abs(base)
	if err != nil {
		return err
	}
	for _, p := range []*string{&c.Dir, &c.TLS.Cert, &c.TLS.Key, &c.TLS.CA, &c.ExportsFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(base, *p)
		}
	}
	if self := c.self(); self != nil {
		if c.Listen == "" {
			c.Listen = self.Addr
		}
		if c.Role == "" {
			c.Role = self.Role
		}
	}
	return nil
}

// effective is the config as YAML, every default filled in.
func (c *config) effective() ([]byte, error) {
	return yaml.Marshal(c)
}
