package billyfstest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/util"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/memory"

	"twofold/replica/vfs"
)

// gitScheme is the protocol by which go-git reaches a repository in memory.
const gitScheme = "billyfstest"

// testGoGit clones a repository onto the volume, commits, and reads all
// of it back.
func testGoGit(t *testing.T, store vfs.FS) {
	origin, want := newOrigin(t)
	dir := newDir(t, store)
	alice := vfs.Cred{UID: 1000, GID: 1000}
	fs := view(t, store, dir, alice)

	endpoint, err := transport.NewEndpoint(gitScheme + "://host/repo.git")
	must(t, err)
	loader := server.MapLoader{endpoint.String(): origin}
	client.InstallProtocol(gitScheme, server.NewClient(loader))
	defer client.InstallProtocol(gitScheme, nil)

	repo, err := git.Clone(gitStorage(t, fs), fs, &git.CloneOptions{URL: endpoint.String()})
	must(t, err)
	for name, data := range want {
		if got := readFile(t, fs, name); got != data {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(data))
		}
	}
	tree, err := repo.Worktree()
	must(t, err)
	wantClean(t, tree)
	writeFile(t, fs, "sub/new.txt", "made in the clone")
	must(t, fs.Remove("file-1.txt"))
	must(t, tree.AddGlob("."))
	made, err := tree.Commit("in the clone", &git.CommitOptions{Author: author(99), All: true})
	must(t, err)

	// Another open of the same directory sees the same repository.
	again := view(t, store, dir, alice)
	repo, err = git.Open(gitStorage(t, again), again)
	must(t, err)
	head, err := repo.Head()
	must(t, err)
	if head.Hash() != made {
		t.Errorf("head is %s, want %s", head.Hash(), made)
	}
	if tree, err = repo.Worktree(); err == nil {
		wantClean(t, tree)
	}
	must(t, err)
	if objects := checkObjects(t, repo); objects < 40 {
		t.Errorf("only %d objects", objects)
	}
	checkHistory(t, repo, made)
}

func gitStorage(t *testing.T, fs billy.Filesystem) *filesystem.Storage {
	t.Helper()
	dot, err := fs.Chroot(git.GitDirName)
	must(t, err)
	return filesystem.NewStorage(dot, cache.NewObjectLRUDefault())
}

func author(n int) *object.Signature {
	return &object.Signature{Name: "A U Thor", Email: "author@example.org", When: time.Unix(int64(1700000000+n), 0)}
}

const originCommits = 12

// newOrigin makes a repository in memory, and tells what its files hold.
func newOrigin(t *testing.T) (*memory.Storage, map[string]string) {
	t.Helper()
	storage, fs := memory.NewStorage(), memfs.New()
	repo, err := git.Init(storage, fs)
	must(t, err)
	tree, err := repo.Worktree()
	must(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	want := make(map[string]string)
	for i := range originCommits {
		name := fmt.Sprintf("file-%d.txt", i%5)
		data := make([]byte, 1+i*i*1000) // Up to 121 kB that does not compress.
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		if i%3 == 0 {
			name = fmt.Sprintf("sub/dir-%d/%s", i, name)
		}
		must(t, util.WriteFile(fs, name, data, 0o644))
		want[name] = string(data)
		_, err = tree.Add(name)
		must(t, err)
		_, err = tree.Commit(fmt.Sprint("change ", i), &git.CommitOptions{Author: author(i)})
		must(t, err)
	}
	must(t, fs.Symlink("file-1.txt", "link"))
	_, err = tree.Add("link")
	must(t, err)
	_, err = tree.Commit("a link", &git.CommitOptions{Author: author(originCommits)})
	must(t, err)
	return storage, want
}

// wantClean fails if git finds that a file differs from the index.
func wantClean(t *testing.T, tree *git.Worktree) {
	t.Helper()
	status, err := tree.Status()
	must(t, err)
	if !status.IsClean() {
		t.Errorf("the work tree is not clean:\n%s", status)
	}
}

// checkObjects reads every object and compares it with its name, as git fsck
// does, and returns how many there are.
func checkObjects(t *testing.T, repo *git.Repository) int {
	t.Helper()
	iter, err := repo.Storer.IterEncodedObjects(plumbing.AnyObject)
	must(t, err)
	n := 0
	must(t, iter.ForEach(func(o plumbing.EncodedObject) error {
		n++
		r, err := o.Reader()
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		var b bytes.Buffer
		if _, err := io.Copy(&b, r); err != nil {
			return err
		}
		if got := plumbing.ComputeHash(o.Type(), b.Bytes()); got != o.Hash() {
			t.Errorf("object %s has the contents of %s", o.Hash(), got)
		}
		return nil
	}))
	return n
}

// checkHistory follows every commit, tree and file from the head.
func checkHistory(t *testing.T, repo *git.Repository, head plumbing.Hash) {
	t.Helper()
	commits, err := repo.Log(&git.LogOptions{From: head})
	must(t, err)
	n := 0
	must(t, commits.ForEach(func(c *object.Commit) error {
		n++
		files, err := c.Files()
		if err != nil {
			return err
		}
		return files.ForEach(func(f *object.File) error {
			_, err := f.Contents()
			return err
		})
	}))
	if want := originCommits + 2; n != want {
		t.Errorf("%d commits, want %d", n, want)
	}
}
