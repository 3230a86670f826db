package main

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// controlEnv names the directory through which host and guest speak. The kernel puts parameters that it does not know into
// init's environment.
const controlEnv = "GUEST_CONTROL"

// The files of the control directory.
const (
	specFile    = "spec.json" // host to guest: what to do
	statusFile  = "status"    // guest to host: the command's exit status, in decimal
	consoleFile = "console"   // the guest kernel's log
	xstateFile  = "xstate.so" // the library that linux.uml is started with
)

// spec tells the guest's init what to do.
type spec struct {
	Name      string
	HostAddr  string
	GuestAddr string
	Shares    []string
	Mounts    []nfsMount
	Dir       string
	Env       []string
	Command   []string
}

func (s spec) write(control string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(control, specFile), b, 0o600)
}

func readSpec(control string) (spec, error) {
	var s spec
	b, err := os.ReadFile(filepath.Join(control, specFile))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}
