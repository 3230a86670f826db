package export

import (
	"errors"
	"fmt"
	"io"
	pathpkg "path"
	"slices"
	"strings"

	"twofold/replica/vfs"
)

// MaxFile bounds a file of exports with its comments, in bytes.
const MaxFile = 1 << 20

// Parse reads a file of exports in the syntax of exports(5); see the package
// comment. name is the file's, for error messages. The result is in the order
// of the paths and without roots. After an error nothing of the file may be
// used.
func Parse(r io.Reader, name string) ([]vfs.Export, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > MaxFile {
		return nil, fmt.Errorf("%s: more than %d bytes", name, MaxFile)
	}
	byPath := make(map[string][]Client)
	for rest, number := string(b), 1; rest != ""; {
		var line string
		var lines int
		line, rest, lines = logicalLine(rest)
		if err := parseLine(line, byPath); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		number += lines
	}
	exports := make([]vfs.Export, 0, len(byPath))
	for path, clients := range byPath {
		exports = append(exports, vfs.Export{Path: path, Clients: FormatClients(clients)})
	}
	slices.SortFunc(exports, func(a, b vfs.Export) int { return strings.Compare(a.Path, b.Path) })
	if err := checkSize(exports); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return exports, nil
}

// ParseExport makes one export of a path and of a list of clients with their
// options, as [Parse] does of a line.
func ParseExport(path, clients string) (vfs.Export, error) {
	path, err := CleanPath(path)
	if err != nil {
		return vfs.Export{}, err
	}
	list, err := ParseClients(clients)
	if err != nil {
		return vfs.Export{}, fmt.Errorf("export %s: %w", path, err)
	}
	e := vfs.Export{Path: path, Clients: FormatClients(list)}
	return e, checkSize([]vfs.Export{e})
}

// CleanPath checks the path of an export and takes out slashes too many. Dots
// are refused: what is written is what is exported.
func CleanPath(path string) (string, error) {
	switch {
	case !strings.HasPrefix(path, "/"):
		return "", fmt.Errorf("path %q: must be absolute, / is the volume's root", path)
	case strings.IndexByte(path, 0) >= 0:
		return "", fmt.Errorf("path %q: no name has a NUL byte", path)
	}
	for name := range strings.SplitSeq(path, "/") {
		if name == "." || name == ".." {
			return "", fmt.Errorf("path %q: write it without %q", path, name)
		}
		if len(name) > vfs.MaxName {
			return "", fmt.Errorf("path %q: a name in it has more than %d bytes", path, vfs.MaxName)
		}
	}
	path = pathpkg.Clean(path)
	if len(path) > vfs.MaxPath {
		return "", fmt.Errorf("path %q: more than %d bytes", path, vfs.MaxPath)
	}
	return path, nil
}

// checkSize holds a list against the limits of the table.
func checkSize(exports []vfs.Export) error {
	if len(exports) > vfs.MaxExports {
		return fmt.Errorf("%d exports, at most %d are allowed", len(exports), vfs.MaxExports)
	}
	size, hosts := 0, make(map[string]bool)
	for _, e := range exports {
		size += len(e.Path) + len(e.Clients)
		clients, err := ParseClients(e.Clients)
		if err != nil {
			return fmt.Errorf("export %s: %w", e.Path, err)
		}
		for _, c := range clients {
			hosts[c.Host] = true
		}
	}
	delete(hosts, "") // networks
	if size > vfs.MaxExportBytes {
		return fmt.Errorf("paths and clients of all exports take %d bytes, at most %d are allowed: use networks", size, vfs.MaxExportBytes)
	}
	if len(hosts) > MaxHosts {
		return fmt.Errorf("%d host names, at most %d are allowed: use addresses or networks", len(hosts), MaxHosts)
	}
	return nil
}

// logicalLine takes a line with its continuations off a text. A backslash at
// the end of a line joins the next one to it, as in exports(5). lines counts what
// was taken.
func logicalLine(text string) (line, rest string, lines int) {
	var b strings.Builder
	for {
		part, after, _ := strings.Cut(text, "\n")
		lines++
		part = strings.TrimSuffix(part, "\r")
		joined, more := strings.CutSuffix(part, `\`)
		b.WriteString(joined)
		if !more || after == "" {
			return b.String(), after, lines
		}
		b.WriteByte(lineJoint)
		text = after
	}
}

// parseLine reads one logical line and adds its clients to those of its path.
func parseLine(line string, byPath map[string][]Client) error {
	line = strings.TrimLeft(line, blanks)
	if line == "" {
		return nil
	}
	if line[0] == '#' {
		return checkComment(line)
	}
	path, line, err := cutPath(line)
	if err != nil {
		return err
	}
	if path, err = CleanPath(path); err != nil {
		return err
	}
	words, err := clientWords(line)
	if err != nil {
		return err
	}
	base := DefaultRule()
	if len(words) > 0 && strings.HasPrefix(words[0], "-") {
		if err := base.options(words[0][1:]); err != nil {
			return err
		}
		words = words[1:]
	}
	clients, err := parseClients(words, base)
	if err != nil {
		return err
	}
	all := append(byPath[path], clients...)
	if len(all) > MaxClients {
		return fmt.Errorf("%d clients of %s, at most %d are allowed: use networks", len(all), path, MaxClients)
	}
	byPath[path] = all
	return distinct(all)
}

// blanks separate words.
const blanks = " \t\v\f\r\n"

// lineJoint is the blank at which two lines of a file were joined.
const lineJoint = '\n'

// clientWords splits what follows a path, up to a comment.
func clientWords(s string) ([]string, error) {
	for i := 0; i < len(s); i++ {
		if s[i] == '#' && (i == 0 || strings.IndexByte(blanks, s[i-1]) >= 0) {
			return strings.Fields(s[:i]), checkComment(s[i:])
		}
	}
	return strings.Fields(s), nil
}

// checkComment refuses a comment that a backslash at its end would carry on over
// the next line. exports(5) ends it there all the same (xskipcomment in
// nfs-utils), and whoever reads the file may expect either.
func checkComment(s string) error {
	if _, hidden, _ := strings.Cut(s, string(lineJoint)); strings.Trim(hidden, blanks) != "" {
		return errors.New("a comment ends with a backslash, which would hide the line after it: remove the backslash")
	}
	return nil
}

// cutPath reads the path that a line begins with: up to white space that is
// not in quotes, with \NNN for the byte of that octal number.
func cutPath(line string) (path, rest string, err error) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == lineJoint:
			return "", "", errOpenQuotes
		case c == '\\':
			n, ok := octal(line[i+1:])
			if !ok {
				return "", "", errors.New(`a backslash in the path: write \134 for it, or \NNN for another byte in octal`)
			}
			b.WriteByte(n)
			i += octalDigits
		case !quoted && strings.IndexByte(blanks, c) >= 0:
			return b.String(), line[i:], nil
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return "", "", errOpenQuotes
	}
	return b.String(), "", nil
}

var errOpenQuotes = errors.New("the path's quotes do not end on this line")

// octalDigits is how many digits follow the backslash of an escape.
const octalDigits = 3

func octal(s string) (byte, bool) {
	if len(s) < octalDigits {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s[:octalDigits]) {
		if c < '0' || c > '7' {
			return 0, false
		}
		n = n*8 + int(c-'0')
	}
	return byte(n), n <= 0xff
}

// Format writes a file that parses to the same exports. Roots are not in it:
// whoever reads it looks the paths up anew.
func Format(exports []vfs.Export) string {
	var b strings.Builder
	for _, e := range exports {
		b.WriteString(quotePath(e.Path))
		for c := range strings.FieldsSeq(e.Clients) {
			b.WriteByte(' ')
			b.WriteString(c)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// quotePath escapes what is not plain in a path.
func quotePath(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f || c == '\\' || c == '"' || c == '#' {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
