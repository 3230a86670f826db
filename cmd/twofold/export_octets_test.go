package main

import (
	"encoding/json"
	"strings"
	"testing"

	"twofold/nfs/export"
)

// A path of any bytes, and a file of any, come through the admin socket as they
// are, and within the bound of a request.
func TestExports_AnyBytesInJSON(t *testing.T) {
	for _, want := range []octets{"", "/", "/a b", "/caf\xe9", "/\xff\\351\x00\ufffd", "/ünï", `\\134`, "\xc3"} {
		for _, in := range []exportEdit{{Path: want}, {Text: want}} {
			var out exportEdit
			text, err := json.Marshal(&in)
			if err == nil {
				err = json.Unmarshal(text, &out)
			}
			if err != nil || out.Path != in.Path || out.Text != in.Text {
				t.Errorf("%q became %q and %q by %s, %v", want, out.Path, out.Text, text, err)
			}
		}
		var out exportReply
		if text, err := json.Marshal(exportReply{Path: want}); err != nil || json.Unmarshal(text, &out) != nil || out.Path != want {
			t.Errorf("%q became %q by %s, %v", want, out.Path, text, err)
		}
	}
	if text, err := json.Marshal(octets("/ünï")); err != nil || string(text) != `"/ünï"` {
		t.Errorf("%s, %v: plain names are not plain", text, err)
	}
	for _, s := range []string{"<", "\x01", "\xff", `\`, "\u2028"} {
		text, err := json.Marshal(&exportEdit{Text: octets(strings.Repeat(s, export.MaxFile/len(s)))})
		if err != nil || len(text) > maxExportEdit {
			t.Errorf("a file of %q takes %d bytes, %v", s, len(text), err)
		}
	}
	for _, bad := range []string{`"/a\\"`, `"\\12"`, `"\\400"`, `"\\+12"`, `"\\1 2"`, `3`} {
		var o octets
		if err := json.Unmarshal([]byte(bad), &o); err == nil {
			t.Errorf("%s is %q", bad, o)
		}
	}
}
