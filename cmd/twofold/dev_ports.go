package main

import (
	"errors"
	"fmt"
	"net"
)

// checkPorts finds out whether the nodes could listen where they are told to,
// before anything is formatted or started. Without it dev might take the answers
// of another cluster on the same ports for those of its own nodes.
func checkPorts(cfgs []*config) error {
	for _, cfg := range cfgs {
		addrs := []string{cfg.Listen, cfg.HTTP.Listen}
		if cfg.isData() {
			addrs = append(addrs, cfg.NFS.Listen)
		}
		for _, addr := range addrs {
			l, err := net.Listen("tcp", addr)
			if err == nil {
				err = l.Close()
			}
			if err != nil {
				var op *net.OpError
				if errors.As(err, &op) {
					err = op.Err
				}
				return fmt.Errorf("node %s cannot listen on %s: %v: stop what uses it (another twofold dev?), or choose other addresses with --nfs and --http", cfg.Node, addr, err)
			}
		}
	}
	return nil
}
