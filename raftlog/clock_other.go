//go:build !linux

package raftlog

import "errors"

func newClock() (Clock, error) {
	return nil, errors.New("no clock that counts the time of a suspended machine is known on this system; leases need Linux")
}
