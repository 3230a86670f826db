package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"twofold/raftlog"
)

// wellStatus is the status of a cluster in which all is well.
func wellStatus() *clusterStatus {
	return &clusterStatus{
		Cluster: "team", Node: "a", Role: raftlog.RoleData, Ready: true, Term: 3, Leader: "a",
		Members: []memberStatus{
			{Name: "a", Role: raftlog.RoleData, Leader: true, Voter: true, Answers: true, Commit: 1000, Applied: 1000, Last: 1001},
			{Name: "b", Role: raftlog.RoleData, Voter: true, Answers: true, Commit: 998, Applied: 990, Last: 1001},
			{Name: "w", Role: raftlog.RoleWitness, Voter: true, Answers: true, Commit: 998, Last: 1000},
		},
		Volume: &volumeStatus{FSID: "0123", BlockSize: 16384, Inodes: 12, Bytes: 5 << 20},
	}
}

func TestStatus_Verdict(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(s *clusterStatus)
		want  health
		code  int
		says  string
	}{
		{"all well", func(*clusterStatus) {}, healthy, 0, "in sync"},
		{"witness down", func(s *clusterStatus) { s.Members[2].Answers = false }, degraded, 1, "problem: w does not answer"},
		{"a member is missing", func(s *clusterStatus) { s.Members = s.Members[:2] }, degraded, 1, "only 2 of 3 members vote"},
		{"a new one does not count", func(s *clusterStatus) { s.Members[1].Voter, s.Members[2].Answers = false, false }, noQuorum, 2, "b has no vote yet"},
		{"b behind", func(s *clusterStatus) { s.Members[1].Applied = 100 }, degraded, 1, "b is 900 entries behind"},
		{"witness behind", func(s *clusterStatus) { s.Members[2].Last = 100 }, degraded, 1, "w is 900 entries behind"},
		{"not ready", func(s *clusterStatus) { s.Ready, s.NotReady = false, "it stops" }, degraded, 1, "a would not serve: it stops"},
		{"alone", func(s *clusterStatus) { s.Members[1].Answers, s.Members[2].Answers = false, false }, noQuorum, 2, "b does not answer"},
		{"no leader", func(s *clusterStatus) { s.Leader, s.Members[0].Leader = "", false }, noQuorum, 2, "no leader is known"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := wellStatus()
			tt.spoil(s)
			measure(s.Members)
			s.judge()
			if s.Health != tt.want {
				t.Errorf("health is %s, want %s; problems: %q", s.Health, tt.want, s.Problems)
			}
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(s) // the client would see it
			}))
			defer srv.Close()
			var out, progress bytes.Buffer
			err := showStatus(context.Background(), []string{srv.Listener.Addr().String()}, false, &out, &progress)
			if got := codeOf(err); got != tt.code {
				t.Errorf("exit code %d, want %d (%v)", got, tt.code, err)
			}
			if !strings.Contains(out.String(), tt.says) {
				t.Errorf("%q is not in\n%s", tt.says, out.String())
			}
		})
	}
}

// codeOf is the exit code that run makes of an error.
func codeOf(err error) int {
	var code exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	return exitError
}

func TestStatus_Table(t *testing.T) {
	s := wellStatus()
	s.InsecurePeers = true
	measure(s.Members)
	s.judge()
	var out bytes.Buffer
	if err := s.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"cluster team: healthy",
		"a     data     leader    0     1000    1000     1001  in sync",
		"w     witness  follower  0     998     -        1000  in sync",
		"volume: 12 inodes, 5 MiB of data, fsid 0123, block size 16KiB",
		"warning: insecure_peers",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// The lines on exports and the port say what they mean for clients.
func TestStatus_ForClients(t *testing.T) {
	for _, tt := range []struct {
		got, want string
	}{
		{(&exportsStatus{}).line(), "none, nobody may mount"},
		{(&exportsStatus{Version: 7, By: "a"}).line(), "version 7, nothing exported and nobody may mount"},
		{(&exportsStatus{Version: 8, Entries: 2, By: "a"}).line(), "version 8, 2 exported"},
		{(&rpcbindStatus{Mode: "off", Doing: "nothing"}).line(), "not used, clients have to name the port (mode off)"},
		{(&rpcbindStatus{Mode: "serve", Doing: "nothing"}).line(), "nothing yet, the node does not serve (mode serve)"},
		{(&rpcbindStatus{Mode: "serve", Doing: "waiting"}).line(), "neither registered nor served"},
		{(&rpcbindStatus{Mode: "serve", Doing: "serving"}).line(), "port 111 is served by this node"},
	} {
		if !strings.HasPrefix(tt.got, tt.want) {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

// The first address that answers is enough; if none does, nobody is served.
func TestStatus_Unreachable(t *testing.T) {
	s := wellStatus()
	measure(s.Members)
	s.judge()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(s) // the client would see it
	}))
	defer good.Close()
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()
	dead, err := freeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	bad := []string{dead[0], stranger.Listener.Addr().String()}
	var out, progress bytes.Buffer
	if err := showStatus(context.Background(), bad, true, &out, &progress); codeOf(err) != exitNoQuorum {
		t.Errorf("nobody answers: %v", err)
	}
	if got := strings.Count(progress.String(), "\n"); got != len(bad) {
		t.Errorf("%d lines for %d nodes:\n%s", got, len(bad), progress.String())
	}
	if err := showStatus(context.Background(), append(bad, good.Listener.Addr().String()), true, &out, &progress); err != nil {
		t.Errorf("the third one answers: %v", err)
	}
	var back clusterStatus
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Leader != "a" {
		t.Errorf("--json printed %s (%v)", out.String(), err)
	}
}
