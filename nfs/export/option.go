package export

import (
	"fmt"
	"strconv"
	"strings"
)

// optionNames lists what has an effect, for error messages.
const optionNames = "ro, rw, root_squash, no_root_squash, all_squash, no_all_squash, secure, insecure, anonuid=N, anongid=N"

// without are options of exports(5) that are accepted and do nothing, since
// things are so here whatever is written.
var without = map[string]bool{
	"sync": true, "no_subtree_check": true, "wdelay": true, "no_wdelay": true, "hide": true,
	"nocrossmnt": true, "no_acl": true, "no_pnfs": true, "sec=sys": true, "xprtsec=none": true,
}

// refused are options of exports(5) that this server cannot honour, by the part
// before the equals sign, and why. Nobody shall believe that they hold.
var refused = map[string]string{
	"async":         "every change is on the disks of two machines before it is answered",
	"subtree_check": "a handle stays good when its file is moved out of the export (no_subtree_check)",
	"crossmnt":      "the volume has no file systems mounted inside it",
	"nohide":        "the volume has no file systems mounted inside it",
	"fsid":          "the volume has one fsid of its own, the same at both nodes",
	"sec":           "only sec=sys is served",
	"xprtsec":       "connections are not encrypted, only xprtsec=none is served",
	"acl":           "ACLs are not served",
	"pnfs":          "pNFS is not served",
	"mp":            "the volume needs no mount point",
	"mountpoint":    "the volume needs no mount point",
	"refer":         "NFSv4 referrals are not served",
	"replicas":      "NFSv4 referrals are not served",
	"nordirplus":    "READDIRPLUS is always served",
	"secure_locks":  "locks are not served",
	"auth_nlm":      "locks are not served", "insecure_locks": "locks are not served", "no_auth_nlm": "locks are not served",
	"security_label": "security labels are not served",
}

// options reads a list of options into r. One that is unknown, refused, or
// that says of one thing what another of the list has said is an error.
func (r *Rule) options(list string) error {
	if list == "" {
		return nil
	}
	given := make(map[string]string)
	for o := range strings.SplitSeq(list, ",") {
		topic, err := r.set(o)
		if err != nil {
			return err
		}
		if topic == "" {
			continue
		}
		if before, ok := given[topic]; ok {
			return fmt.Errorf("options %q and %q exclude each other: leave one out", before, o)
		}
		given[topic] = o
	}
	return nil
}

// set applies one option and returns the topic that it settles, if any.
func (r *Rule) set(option string) (topic string, err error) {
	name, value, hasValue := strings.Cut(option, "=")
	switch option {
	case "ro", "rw":
		r.ReadWrite = option == "rw"
		return "rw", nil
	case "root_squash", "no_root_squash":
		r.RootSquash = option == "root_squash"
		return "root_squash", nil
	case "all_squash", "no_all_squash":
		r.AllSquash = option == "all_squash"
		return "all_squash", nil
	case "secure", "insecure":
		r.Secure = option == "secure"
		return "secure", nil
	}
	switch {
	case name == "anonuid" && hasValue:
		r.AnonUID, err = parseID(option, value)
		return name, err
	case name == "anongid" && hasValue:
		r.AnonGID, err = parseID(option, value)
		return name, err
	case without[option]:
		return "", nil
	case refused[name] != "":
		return "", fmt.Errorf("option %q cannot be honoured: %s: remove it", option, refused[name])
	}
	return "", fmt.Errorf("unknown option %q; known are %s", option, optionNames)
}

func parseID(option, value string) (uint32, error) {
	id, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("option %q: %q is not a user or group id: write a number", option, value)
	}
	if uint32(id) == invalidID {
		return 0, fmt.Errorf("option %q: %d is no id: it stands for none", option, id)
	}
	return uint32(id), nil
}

// String is the rule in canonical words: ro or rw, then what differs from
// [DefaultRule], in a fixed order.
func (r *Rule) String() string {
	var b strings.Builder
	b.WriteString("ro")
	if r.ReadWrite {
		b.Reset()
		b.WriteString("rw")
	}
	for _, o := range []struct {
		has  bool
		name string
	}{
		{!r.RootSquash, ",no_root_squash"}, {r.AllSquash, ",all_squash"}, {!r.Secure, ",insecure"},
	} {
		if o.has {
			b.WriteString(o.name)
		}
	}
	if r.AnonUID != Anonymous {
		fmt.Fprintf(&b, ",anonuid=%d", r.AnonUID)
	}
	if r.AnonGID != Anonymous {
		fmt.Fprintf(&b, ",anongid=%d", r.AnonGID)
	}
	return b.String()
}
