package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"twofold/nfs/rpcbind"
	"twofold/raftlog"
)

// statusTimeout bounds one question to one node.
const statusTimeout = 5 * time.Second

func newStatusCmd() *cobra.Command {
	var configPath, addr string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [--config FILE | --http ADDR] [--json]",
		Short: "Show members, leader, progress and health",
		Long: "status asks one node over HTTP what it knows of the cluster. Without a flag it\n" +
			"asks the nodes of twofold dev in ./" + defaultDevDir + ", or at dev's default addresses.\n\n" +
			"Exit code: 0 healthy; 1 degraded: clients are served, something is missing;\n" +
			"2 no quorum, or nobody answers.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addrs, err := statusAddrs(configPath, addr)
			if err != nil {
				return err
			}
			return showStatus(cmd.Context(), addrs, asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&configPath, "config", "", "config file of the node to ask")
	f.StringVar(&addr, "http", "", "HTTP address of the node to ask")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("config", "http")
	return cmd
}

// statusAddrs returns the HTTP addresses to ask, in order, until one answers.
func statusAddrs(configPath, addr string) ([]string, error) {
	switch {
	case addr != "":
		var m mistakes
		if checkAddr(&m, "--http", addr, true); len(m) > 0 {
			return nil, errors.New(m[0])
		}
		return []string{addr}, nil
	case configPath != "":
		cfg, err := loadConfig(configPath)
		if err != nil {
			return nil, err
		}
		return []string{cfg.HTTP.Listen}, nil
	}
	var addrs []string
	for _, m := range devMembers {
		path := filepath.Join(defaultDevDir, m.Name, devConfigFile)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		cfg, err := loadConfig(path)
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, cfg.HTTP.Listen)
	}
	if len(addrs) == 0 {
		addrs = defaultDevHTTP
	}
	return addrs, nil
}

// showStatus prints what the first node that answers says. Its error carries
// the exit code.
func showStatus(ctx context.Context, addrs []string, asJSON bool, out, progress io.Writer) error {
	var s *clusterStatus
	for _, a := range addrs {
		var err error
		if s, err = askStatus(ctx, a); err == nil {
			break
		}
		fmt.Fprintf(progress, "twofold: %v: is the node running, and is this its http address?\n", err)
	}
	if s == nil {
		return exitCode(exitNoQuorum)
	}
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(s); err != nil {
			return err
		}
	} else if err := s.print(out); err != nil {
		return err
	}
	if code := s.Health.exitStatus(); code != exitOK {
		return exitCode(code)
	}
	return nil
}

// askStatus asks one node.
func askStatus(ctx context.Context, addr string) (*clusterStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	code, body, err := httpGet(ctx, "http://"+reachable(addr)+"/status")
	if err != nil {
		return nil, fmt.Errorf("%s does not answer: %w", addr, err)
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d", addr, code)
	}
	var s clusterStatus
	if err := json.Unmarshal(body, &s); err != nil || len(s.Members) == 0 {
		return nil, fmt.Errorf("%s does not answer like a twofold node", addr)
	}
	return &s, nil
}

// print writes the status for people.
func (s *clusterStatus) print(w io.Writer) error {
	fmt.Fprintf(w, "cluster %s: %s (as node %s sees it, version %s)\n", s.Cluster, s.Health, s.Node, s.Version)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "NODE\tROLE\tSTATE\tTERM\tCOMMIT\tAPPLIED\tLAST\tSYNC\tADDRESS")
	for _, m := range s.Members {
		fmt.Fprintln(tab, m.row())
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	if v := s.Volume; v != nil {
		fmt.Fprintf(w, "volume: %d inodes, %s of data, fsid %s, block size %s\n", v.Inodes, humanBytes(v.Bytes), v.FSID, byteSize(v.BlockSize))
	}
	if l := s.Lease; l != nil && s.Leader != "" {
		fmt.Fprintln(w, "reads: "+l.line(s.Leader == s.Node))
	}
	if i := s.Integrity; i != nil {
		fmt.Fprintln(w, "integrity: "+i.line())
	}
	if e := s.Exports; e != nil {
		fmt.Fprintln(w, "exports: "+e.line())
	}
	if r := s.RPCBind; r != nil {
		fmt.Fprintln(w, "rpcbind: "+r.line())
	}
	if s.InsecurePeers {
		fmt.Fprintln(w, "warning: insecure_peers: nodes talk without encryption or proof of who they are")
	}
	for _, p := range s.Problems {
		fmt.Fprintf(w, "problem: %s\n", p)
	}
	return nil
}

// line is the export table in a few words.
func (e *exportsStatus) line() string {
	if e.Version == 0 {
		return "none, nobody may mount: twofold export set / 'CLIENT(rw)' lets clients in"
	}
	if e.Entries == 0 {
		return fmt.Sprintf("version %d, nothing exported and nobody may mount, set %s by %s", e.Version, e.Time.Format(statusTime), e.By)
	}
	return fmt.Sprintf("version %d, %d exported, set %s by %s", e.Version, e.Entries, e.Time.Format(statusTime), e.By)
}

// statusTime is how people are told a time.
const statusTime = "2006-01-02 15:04:05 MST"

// line says how clients learn the port.
func (r *rpcbindStatus) line() string {
	what := map[string]string{
		string(rpcbind.Registered): "registered, clients need not name the port",
		string(rpcbind.Serving):    "port 111 is served by this node, clients need not name the port",
		string(rpcbind.Waiting):    "neither registered nor served, clients have to name the port",
		string(rpcbind.Nothing):    "not used, clients have to name the port",
	}[r.Doing]
	if r.Doing == string(rpcbind.Nothing) && r.Mode != string(rpcbind.ModeOff) {
		what = "nothing yet, the node does not serve"
	}
	return fmt.Sprintf("%s (mode %s)%s", what, r.Mode, because(r.Note))
}

// row is the member's line of the table.
func (m *memberStatus) row() string {
	state, sync := "follower", "in sync"
	applied := strconv.FormatUint(m.Applied, 10)
	if m.Role == raftlog.RoleWitness {
		applied = "-"
	}
	switch {
	case !m.Answers:
		state, sync = "down", "unknown"
	case m.DiskStalled:
		state = "disk hangs"
	case m.Leader:
		state = "leader"
	case !m.Voter:
		state = "joins"
	}
	if m.Answers && !m.InSync {
		sync = fmt.Sprintf("%d behind", m.Behind)
	}
	return fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%s\t%d\t%s\t%s", m.Name, m.Role, state, m.Term, m.Commit, applied, m.Last, sync, m.Addr)
}

// humanBytes rounds a size to three digits.
func humanBytes(n uint64) string {
	for _, u := range byteUnits {
		if n >= uint64(u.size) {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
