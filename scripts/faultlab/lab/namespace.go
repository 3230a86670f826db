package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// insideVariable marks the program that is in namespaces of its own already.
const insideVariable = "TWOFOLD_FAULTLAB_INSIDE"

// ErrUnable says that this machine cannot run a lab, and why.
var ErrUnable = errors.New("cannot run here")

// programs are what a lab calls, and the Debian packages that have them.
var programs = map[string]string{
	"unshare": "util-linux", "mount": "mount", "ip": "iproute2", "nft": "nftables", "mkfs.ext4": "e2fsprogs",
}

// Enter goes on in a network and a mount namespace of its own: it replaces the program by itself, so that it returns only there, or with an
// error.
func Enter() error {
	if os.Getenv(insideVariable) != "" {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: it needs root for network namespaces, loop mounts and fsfreeze", ErrUnable)
	}
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		return err
	}
	for program, deb := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: %s is missing (Debian package %s)", ErrUnable, program, deb)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	args := append([]string{"unshare", "--net", "--mount", "--propagation", "private", "--", self}, os.Args[1:]...)
	return unix.Exec(unshare, args, append(os.Environ(), insideVariable+"=1"))
}

// run runs a command of the system in the network namespace of the calling thread.
func run(name string, args ...string) error { return runWith("", name, args...) }

func runWith(input, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
