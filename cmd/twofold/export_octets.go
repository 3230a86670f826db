package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// octets is a string of any bytes, such as a path, in JSON, whose strings are
// UTF-8: encoding/json would put another character in the place of each other
// byte, and the path would be another one. Such bytes, and backslashes, are
// written as in a file of exports: a backslash and three octal digits.
type octets string

// MarshalJSON writes what UnmarshalJSON reads.
func (o octets) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	for s := string(o); s != ""; {
		r, n := utf8.DecodeRuneInString(s)
		if r == '\\' || r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\%03o`, s[0])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return json.Marshal(b.String())
}

// UnmarshalJSON undoes MarshalJSON.
func (o *octets) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	var b strings.Builder
	for {
		plain, rest, escaped := strings.Cut(s, `\`)
		b.WriteString(plain)
		if !escaped {
			*o = octets(b.String())
			return nil
		}
		const digits = 3
		v, err := strconv.ParseUint(rest[:min(digits, len(rest))], 8, 8)
		if err != nil || len(rest) < digits {
			return fmt.Errorf(`a backslash without three octal digits after it in %q`, s[:min(len(s), 80)])
		}
		b.WriteByte(byte(v))
		s = rest[digits:]
	}
}
