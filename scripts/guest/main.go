package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

// The exit statuses that are not the command's own.
const (
	exitLimit = 124 // the time limit ended the guest
	exitDied  = 125 // the guest ended without an answer
	exitSetup = 126 // the guest could not be started, or could not run the command
	exitBreak = 130 // a signal ended it
)

func main() {
	if control := os.Getenv(controlEnv); control != "" && os.Getpid() == 1 {
		guestInit(control)
	}
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(exitSetup)
	}
	status := exitSetup
	if err == nil {
		status, err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
	}
	os.Exit(status)
}
