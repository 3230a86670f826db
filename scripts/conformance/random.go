package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// randomCalls is how many calls a random case has.
const randomCalls = 25

// generator writes random cases.
type generator struct{ *rand.Rand }

// randomCases makes cases from a seed: the same ones each time.
func randomCases(seed uint64, n int) ([]testCase, error) {
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "# random %d-%d\n", seed, i)
		g.setUp(&text)
		for range randomCalls {
			fmt.Fprintln(&text, g.call())
		}
	}
	return parseCases(text.String())
}

// one picks a word.
func (g generator) one(words string) string {
	list := strings.Fields(words)
	return list[g.IntN(len(list))]
}

// Words to pick from. Handles are of what setUp makes, whatever its name and place have become. Only the file "w" has its data read and
// written, with holes of whole blocks, and nothing ever removes it: the kernel's server may know a file for a while that was open when it was removed.
const (
	randomCallers = "@root/rw @root/rw @alice/rw @alice/rw @bob/rw @carol/rw @dave/rw @root/ro @alice/ro @root/squash @anon/rw"
	randomNames   = "f g l p c d e s h n1 n2"
	randomHandles = "$f $g $d $e $l $p $c $s $h ."
	randomDirs    = ". . . $d $d $e $e $s $d $e $f $l"
	randomModes   = "0 644 600 666 755 777 311 711 4755 2755 6755 1777 2777 4644 2644 6644 2711"
)

// setUp makes a few objects of several owners.
func (g generator) setUp(out *strings.Builder) {
	fmt.Fprintf(out, "set . mode=%s uid=%s gid=%s\n", g.one("777 777 1777 2777 3777 755 775"), g.one("0 1000"), g.one("0 100"))
	for _, what := range []string{"file f size=5", "file g", "lnk l f", "fifo p", "chr c"} {
		fmt.Fprintf(out, "%s uid=%s gid=%s mode=%s\n", what, g.one("0 1000 1001"), g.one("0 100 300"), g.one(randomModes))
	}
	for _, what := range []string{"dir d", "dir e", "dir k", "dir d/s"} {
		fmt.Fprintf(out, "%s uid=%s gid=%s mode=%s\n", what, g.one("0 1000 1001"), g.one("0 100 300"), g.one("755 777 777 1777 2777 2775 700 750 3777"))
	}
	fmt.Fprintf(out, "file d/h uid=%s\nfile k/w uid=%s mode=%s data=abc\n", g.one("0 1000 1001"), g.one("1000 1001"), g.one(randomModes))
	for _, path := range []string{"f", "g", "l", "p", "c", "d", "e", "d/s", "d/h", "k/w"} {
		fmt.Fprintf(out, "keep $%s %s\n", path[len(path)-1:], path)
	}
}

// call is one line. Errors after a part was done are left out, since they are a known difference: a size comes alone.
func (g generator) call() string {
	entry := func() string { return g.one(randomDirs) + " " + g.one(randomNames) }
	var text string
	switch k := g.IntN(100); {
	case k < 18:
		text = "SETATTR " + g.one(randomHandles) + g.attrs()
	case k < 22:
		text = "SETATTR $w " + g.one("size=0 size=2 size=5000") + []string{"", " mtime=server", " atime=server mtime=server"}[g.IntN(3)]
	case k < 28:
		text = "WRITE $w " + g.one("0 1 3 32768") + " " + g.one(`ab xyz ""`)
	case k < 32:
		text = "READ $w " + g.one("0 3 100") + " " + g.one("0 3 100")
	case k < 38:
		text = "ACCESS " + g.one(randomHandles+" $w")
	case k < 48:
		text = "CREATE " + entry() + " " + g.one("unchecked guarded") + g.attrs()
	case k < 54:
		text = "MKDIR " + entry() + g.attrs()
	case k < 57:
		text = "SYMLINK " + entry() + " target" + g.attrs()
	case k < 61:
		text = "MKNOD " + entry() + []string{" fifo", " sock", " chr 1 3", " blk 1 3"}[g.IntN(4)] + g.attrs()
	case k < 68:
		text = "REMOVE " + entry()
	case k < 74:
		text = "RMDIR " + entry()
	case k < 90:
		text = "RENAME " + entry() + " " + entry()
	case k < 95:
		text = "LINK " + g.one(randomHandles) + " " + entry()
	case k < 98:
		text = "LOOKUP " + g.one(randomDirs) + " " + g.one(randomNames+" . ..")
	default:
		text = "READDIRPLUS " + g.one(randomDirs) + " 0 4096 8192"
	}
	return g.one(randomCallers) + " " + text
}

// attrs is a random sattr3 without a size.
func (g generator) attrs() string {
	text := ""
	for _, a := range []struct {
		percent int
		values  string
	}{
		{50, "mode=" + g.one(randomModes)}, {20, "uid=" + g.one("0 1000 1001 1002")}, {20, "gid=" + g.one("0 100 200 300")},
		{20, g.one("atime=server atime=100.5")}, {20, g.one("mtime=server mtime=200.25")},
	} {
		if g.IntN(100) < a.percent {
			text += " " + a.values
		}
	}
	return text
}
