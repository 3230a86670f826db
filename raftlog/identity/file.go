package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The kinds of file.
const (
	kindIdentity = "twofold identity"
	kindCluster  = "twofold cluster"
	kindFence    = "twofold fence"
)

// maxFileBytes bounds what is read of a file. All of them are far smaller.
const maxFileBytes = 64 << 10

// envelope is what both files have in common.
type envelope struct {
	Kind   string          `json:"kind"`
	Format int             `json:"format"`
	Body   json.RawMessage `json:"body"`
	SHA256 string          `json:"sha256"`
}

// sum returns the checksum over everything else in the envelope.
func (e envelope) sum() (string, error) {
	var body bytes.Buffer
	if err := json.Compact(&body, e.Body); err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%d\n", e.Kind, e.Format)
	h.Write(body.Bytes())
	return hex.EncodeToString(h.Sum(nil)), nil
}

// writeFile makes dir/name with the body in an envelope of its kind. The name
// has the whole content or does not exist, whatever happens meanwhile.
func writeFile(dir, name, kind string, format int, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	env := envelope{Kind: kind, Format: format, Body: raw}
	if env.SHA256, err = env.sum(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(env, "", "  ")
	if err != nil {
		return err
	}
	return writeDurably(filepath.Join(dir, name), append(data, '\n'))
}

// writeDurably writes a temporary file, syncs it, renames it and syncs the
// directory. The temporary name is fixed: the directory lock keeps others away,
// and what a crash leaves behind is overwritten.
func writeDurably(path string, data []byte) error {
	tmp := path + tmpSuffix
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		// The error of the write is the one to report.
		_ = os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// readFile decodes the body of dir/name. The error satisfies os.IsNotExist if
// there is no such file.
func readFile(dir, name, kind string, body any) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return err
	}
	if len(data) > maxFileBytes {
		return damaged(dir, name, "it is too long")
	}
	var env envelope
	if err := json.Unmarshal(data, &env); err != nil {
		return damaged(dir, name, err.Error())
	}
	if env.Kind != kind {
		return damaged(dir, name, fmt.Sprintf("its kind is %q, want %q", env.Kind, kind))
	}
	if env.Format > formatLater {
		return refuse(ErrNewerFormat,
			"%s in directory %s has format %d, and this version knows formats up to %d: run the newer twofold that wrote it",
			name, dir, env.Format, formatLater)
	}
	sum, err := env.sum()
	if err != nil {
		return damaged(dir, name, err.Error())
	}
	if sum != env.SHA256 || env.Format < Format {
		return damaged(dir, name, "its checksum does not match")
	}
	dec := json.NewDecoder(bytes.NewReader(env.Body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(body); err != nil {
		return damaged(dir, name, err.Error())
	}
	return nil
}

func damaged(dir, name, why string) error {
	return refuse(ErrDamaged,
		"%s in directory %s is damaged (%s): restore the directory from a copy, or replace this member by a new one",
		name, dir, why)
}
