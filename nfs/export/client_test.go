package export_test

import (
	"fmt"
	"strings"
	"testing"

	"twofold/nfs/export"
)

func TestParseClients_Canonical(t *testing.T) {
	for text, want := range map[string]string{
		"*":                                "*(ro)",
		"*()":                              "*(ro)",
		"10.0.0.7":                         "10.0.0.7(ro)",
		"10.0.0.7/32(rw)":                  "10.0.0.7(rw)",
		"10.1.2.3/8":                       "10.0.0.0/8(ro)",
		"10.1.2.3/255.255.0.0(rw,async=0)": "",
		"10.1.2.3/255.255.0.0(rw,sync)":    "10.1.0.0/16(rw)",
		"10.0.0.0/0.0.0.0":                 "0.0.0.0/0(ro)",
		"::ffff:10.1.2.3":                  "10.1.2.3(ro)",
		"::ffff:10.1.0.0/112":              "10.1.0.0/16(ro)",
		"FD00::1/64(insecure)":             "fd00::/64(ro,insecure)",
		"Web1.Example.COM.(rw)":            "web1.example.com(rw)",
		"web_1":                            "web_1(ro)",
		"* a.example 10.0.0.0/8 10.0.0.1 fd00::/8 fd00::1 10.0.0.0/9":  "10.0.0.1(ro) fd00::1(ro) 10.0.0.0/9(ro) 10.0.0.0/8(ro) fd00::/8(ro) a.example(ro) *(ro)",
		"a(anongid=5,rw,anonuid=4,all_squash,insecure,no_root_squash)": "a(rw,no_root_squash,all_squash,insecure,anonuid=4,anongid=5)",
	} {
		clients, err := export.ParseClients(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is accepted", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got := export.FormatClients(clients)
		if got != want {
			t.Errorf("%q becomes\n%q, want\n%q", text, got, want)
		}
		if again, err := export.ParseClients(got); err != nil || export.FormatClients(again) != got {
			t.Errorf("%q does not stay: %v", got, err)
		}
	}
}

func TestParseClients_Refuses(t *testing.T) {
	many := make([]string, export.MaxClients+1)
	for i := range many {
		many[i] = fmt.Sprintf("10.0.%d.%d", i/256, i%256)
	}
	for text, want := range map[string]string{
		"":                        "no clients",
		"  ":                      "no clients",
		"(rw)":                    "write *(rw) for everybody",
		"host (rw)":               "exports(5) would give everybody these options, and host the default ones: write host(rw), or *(rw)",
		"a b (rw,insecure)":       "write b(rw,insecure), or *(rw,insecure)",
		"host(rw":                 "without spaces inside",
		"host(rw, sync)":          "without spaces inside",
		"host(rw)x":               "without spaces inside",
		"host(rw)(ro)":            "without spaces inside",
		"host)":                   "a closing parenthesis without an opening one",
		"@trusted(rw)":            "netgroups are not served",
		"*.example.com":           "wildcards in names are not served",
		"web?":                    "wildcards",
		"web[12]":                 "wildcards",
		"10.0.0.0/33":             "not a network",
		"10.0.0.0/255.0.255.0":    "with its netmask",
		"fd00::/255.255.0.0":      "with its netmask",
		"::ffff:1.2.3.4/90":       "at least 96",
		"gss/krb5":                "not a network",
		"fe80::1%eth0":            "zone",
		"10.0.0":                  "does not end in a number",
		"10.0.0.256":              "does not end in a number",
		"-rw":                     "not an address, a network, a host name",
		"a..b":                    "not an address, a network, a host name",
		"caf\u00e9":               "not an address, a network, a host name",
		"a,b":                     "not an address, a network, a host name",
		strings.Repeat("a", 64):   "not an address, a network, a host name",
		strings.Repeat("a.", 130): "not an address, a network, a host name",
		"a(rw,ro)":                `options "rw" and "ro" exclude each other`,
		"a(secure,secure)":        "exclude each other",
		"a(async)":                "the disks of two machines",
		"a(subtree_check)":        "moved out of the export",
		"a(crossmnt)":             "no file systems mounted inside it",
		"a(fsid=0)":               "one fsid of its own",
		"a(sec=krb5p)":            "only sec=sys is served",
		"a(sec=sys:krb5)":         "only sec=sys is served",
		"a(rw,,sync)":             `unknown option ""`,
		"a(rw=1)":                 `unknown option "rw=1"`,
		"a(squash)":               `unknown option "squash"; known are ro, rw`,
		"a(anonuid)":              `unknown option "anonuid"`,
		"a(anonuid=nobody)":       "not a user or group id",
		"a(anonuid=-1)":           "not a user or group id",
		"a(anongid=4294967295)":   "is no id",
		"a(rw) A.(ro)":            "client a is there twice",
		"10.0.0.1/8 10.9.9.9/8":   "client 10.0.0.0/8 is there twice",
		"10.0.0.1 10.0.0.1/32":    "client 10.0.0.1 is there twice",
		"*(rw) *(ro)":             "client * is there twice",
		strings.Join(many, " "):   "at most 1024 are allowed",
	} {
		_, err := export.ParseClients(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: error %v, want one with %q", text, err, want)
		}
	}
}
