package billyfstest

import (
	"bytes"
	"testing"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/test"
	"github.com/go-git/go-billy/v5/util"
	"gopkg.in/check.v1"
)

// TempFiles is how many rounds of 100 temporary files the suite's two longest
// tests make. Zero is the suite's own number, 1024.
type TempFiles int

// fewTempFiles keeps the suite short over a store that syncs each change.
const fewTempFiles TempFiles = 1

// Conformance runs go-billy's own suite. Each of its tests gets the empty file
// system that fresh returns.
func Conformance(t *testing.T, fresh func() billy.Filesystem, rounds TempFiles) {
	var suite any = &fullSuite{fresh: fresh}
	if rounds > 0 {
		suite = &shortSuite{fullSuite: fullSuite{fresh: fresh}, rounds: int(rounds)}
	}
	var out bytes.Buffer
	result := check.Run(suite, &check.RunConf{Output: &out})
	t.Logf("go-billy's suite: %s", result)
	if !result.Passed() || result.Succeeded == 0 {
		t.Errorf("go-billy's suite: %s\n%s", result, out.String())
	}
}

// fullSuite is go-billy's suite on file systems of fresh.
type fullSuite struct {
	test.FilesystemSuite
	fresh func() billy.Filesystem
}

// SetUpTest is called before each test of the suite.
func (s *fullSuite) SetUpTest(*check.C) {
	s.FilesystemSuite = test.NewFilesystemSuite(s.fresh())
}

// shortSuite replaces two tests of the suite by the same with fewer rounds.
type shortSuite struct {
	fullSuite
	rounds int
}

// TestTempFileMany stands for the suite's test of this name.
func (s *shortSuite) TestTempFileMany(c *check.C) {
	s.many(c, func() (billy.File, error) { return s.FS.TempFile("test-dir", "test-prefix") })
}

// TestTempFileManyWithUtil stands for the suite's test of this name.
func (s *shortSuite) TestTempFileManyWithUtil(c *check.C) {
	s.many(c, func() (billy.File, error) { return util.TempFile(s.FS, "test-dir", "test-prefix") })
}

func (s *shortSuite) many(c *check.C, temp func() (billy.File, error)) {
	for range s.rounds {
		var files []billy.File
		for range 100 {
			f, err := temp()
			c.Assert(err, check.IsNil)
			files = append(files, f)
		}
		for _, f := range files {
			c.Assert(f.Close(), check.IsNil)
			c.Assert(s.FS.Remove(f.Name()), check.IsNil)
		}
	}
}
