package export_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"twofold/nfs/export"
	"twofold/replica/vfs"
)

func TestParse_File(t *testing.T) {
	const file = `# exports of the test
/            10.0.0.0/8(ro) \
             admin.example.com(rw,no_root_squash)	# two lines

  /srv//www/ -rw,insecure web1 web2(secure) 10.1.2.3(ro,sync)
"/with space"	*(ro)
/also\040space\134\042 *
/quoted"  "part *
# a comment with a backslash before an empty line \

/srv/www db(ro)
/no#comment *`
	got, err := export.Parse(strings.NewReader(file), "exports")
	if err != nil {
		t.Fatal(err)
	}
	want := []vfs.Export{
		{Path: "/", Clients: "10.0.0.0/8(ro) admin.example.com(rw,no_root_squash)"},
		{Path: `/also space\"`, Clients: "*(ro)"},
		{Path: "/no#comment", Clients: "*(ro)"},
		{Path: "/quoted  part", Clients: "*(ro)"},
		{Path: "/srv/www", Clients: "10.1.2.3(ro,insecure) db(ro) web1(rw,insecure) web2(rw)"},
		{Path: "/with space", Clients: "*(ro)"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	again, err := export.Parse(strings.NewReader(export.Format(got)), "again")
	if err != nil || !slices.Equal(again, got) {
		t.Errorf("Format writes\n%s which is %+v, %v", export.Format(got), again, err)
	}
}

func TestParse_Empty(t *testing.T) {
	for _, file := range []string{"", "\n\n", "# nothing", "# nothing\\", "\\\n"} {
		if got, err := export.Parse(strings.NewReader(file), "exports"); err != nil || len(got) != 0 {
			t.Errorf("%q: %+v, %v", file, got, err)
		}
	}
}

func TestParse_Refuses(t *testing.T) {
	var many, hosts, large strings.Builder
	for i := range vfs.MaxExports + 1 {
		fmt.Fprintf(&many, "/%d *\n", i)
		fmt.Fprintf(&hosts, "/ host%d\n", i)
	}
	for i := range vfs.MaxExports {
		fmt.Fprintf(&large, "/%s%d *\n", strings.Repeat(strings.Repeat("x", 203)+"/", 5), i)
	}
	for file, want := range map[string]string{
		"# x\n\n/a\n":                          "exports:3: no clients",
		"/a *\n/b \\\n *(rw) \\\n\n/c (rw)":    "exports:5: options (rw) without a client",
		"/a host (rw)":                         "exports:1: a space before (rw)",
		"/a *\\\n(rw)":                         "exports:1: a space before (rw)",
		"a *":                                  "must be absolute",
		"/a/../b *":                            `without ".."`,
		"/./a *":                               `without "."`,
		"/a\\000 *":                            "NUL",
		"/a\\b *":                              `write \134`,
		"/a\\400 *":                            `write \134`,
		"/a\\04":                               `write \134`,
		"\"/a *":                               "quotes do not end",
		"\"/a\\\nb\" *":                        "exports:1: the path's quotes do not end",
		"# all\\\n/a *":                        "exports:1: a comment ends with a backslash",
		"/a b \\\n# c \\\n d(rw)":              "exports:1: a comment ends with a backslash",
		"/a -rw,ro *":                          "exclude each other",
		"/a -rw":                               "no clients",
		"/a * -rw b":                           `client "-rw"`,
		"/a -async *":                          "cannot be honoured",
		"/a b(rw)\n/b *\n/a b(ro)":             "exports:3: client b is there twice",
		"/" + strings.Repeat("x", 256) + " *":  "more than 255 bytes",
		strings.Repeat("/xxxxxxx", 129) + " *": "more than 1024 bytes",
		many.String():                          "257 exports, at most 256",
		hosts.String():                         "257 host names, at most 256",
		large.String():                         "at most 262144 are allowed",
		strings.Repeat("#", export.MaxFile+1):  "more than 1048576 bytes",
	} {
		got, err := export.Parse(strings.NewReader(file), "exports")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "exports:") {
			t.Errorf("%.60q: error %v, want one with %q", file, err, want)
		}
		if got != nil {
			t.Errorf("%.60q: %d exports with an error", file, len(got))
		}
	}
}

func TestParse_UnreadableFile(t *testing.T) {
	broken := errors.New("planted")
	if _, err := export.Parse(iotest.ErrReader(broken), "exports"); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestParseExport(t *testing.T) {
	got, err := export.ParseExport("/a b//c/", "b(rw) 10.0.0.1")
	if want := (vfs.Export{Path: "/a b/c", Clients: "10.0.0.1(ro) b(rw)"}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for path, clients := range map[string]string{"a": "*", "/": "", "/a": "b (rw)"} {
		if _, err := export.ParseExport(path, clients); err == nil {
			t.Errorf("%q %q is accepted", path, clients)
		}
	}
}

// What parses is canonical: writing and reading it changes nothing, and it
// compiles.
func FuzzParse(f *testing.F) {
	f.Add("/ 10.0.0.0/8(ro) a.example(rw,no_root_squash) # x\n")
	f.Add("/a\\040b -rw,insecure * fd00::/8(anonuid=1,anongid=2,all_squash)\\\n 10.0.0.0/255.0.0.0")
	f.Add("\"/q uoted\" host (rw)\n\n#\\\n/b *")
	f.Add("/a @group\n/b *.example(sec=krb5,async)")
	f.Fuzz(func(t *testing.T, file string) {
		got, err := export.Parse(strings.NewReader(file), "f")
		if err != nil {
			return
		}
		text := export.Format(got)
		again, err := export.Parse(strings.NewReader(text), "again")
		if err != nil || !slices.Equal(again, got) {
			t.Fatalf("%+v is written as %s and then %+v, %v", got, text, again, err)
		}
		for i := range got {
			got[i].Root = vfs.Ref{Ino: vfs.Ino(i + 1)}
		}
		x := export.New(export.Config{Resolver: noNames{}})
		defer x.Close()
		if err := x.Set(vfs.ExportTable{Exports: got}); err != nil {
			t.Fatalf("%+v does not compile: %v", got, err)
		}
	})
}
