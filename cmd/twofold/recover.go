package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"twofold/raftlog"
	"twofold/raftlog/identity"
	"twofold/raftlog/logstore"
)

// recoverFlags are the operator's word.
type recoverFlags struct {
	config, lost, cluster string
}

func newRecoverCmd() *cobra.Command {
	var f recoverFlags
	cmd := &cobra.Command{
		Use:   "recover --config FILE [--i-lost \"NAME NAME\" --cluster NAME]",
		Short: "Go on alone after two of three machines are lost for good",
		Long: "recover makes the stopped data node of --config the only member of its cluster.\n" +
			"It is for the loss of two of three machines for good: both will never run again.\n" +
			"What only they had is given up. Without --i-lost and --cluster it only tells what\n" +
			"it would do. docs/operations/members.md says what to do before and after.\n\n" +
			"Exit code: 0 done, 1 not done.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.OutOrStdout()) },
	}
	addConfigFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.lost, "i-lost", "", "names of all other members, which are lost for good")
	cmd.Flags().StringVar(&f.cluster, "cluster", "", "name of the cluster, typed once more")
	return cmd
}

// run recovers, or tells what that would be.
func (f *recoverFlags) run(out io.Writer) error {
	cfg, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	if !cfg.isData() {
		return fmt.Errorf("node %s is the witness: it has the log and no files, and nothing can be recovered from it", cfg.Node)
	}
	// The lock keeps a running node away.
	dir, err := identity.Open(cfg.Dir, cfg.identity())
	if err != nil {
		return err
	}
	defer dir.Close()
	if dir.Binding() == nil {
		return fmt.Errorf("node %s has never met its cluster: it holds nothing", cfg.Node)
	}
	log := recoverLog(cfg, dir.Binding())
	s, err := raftlog.Recover(log, false)
	if err != nil {
		return err
	}
	lost := lostMembers(s.Members, cfg.Node)
	if len(lost) == 0 {
		return fmt.Errorf("node %s is the only member of its cluster already: start it", cfg.Node)
	}
	fmt.Fprint(out, recoverWarning(cfg, s, lost))
	if err := f.word(cfg, lost); err != nil {
		return err
	}
	return f.recover(out, dir, log, s)
}

// recoverLog is the config of the stopped node's log.
func recoverLog(cfg *config, b *identity.Binding) raftlog.Config {
	c := raftlog.Config{
		Name: cfg.Node, Role: cfg.Role, Dir: filepath.Join(cfg.Dir, logDir), LogKind: logstore.Kind(cfg.LogStore),
	}
	for _, m := range b.Members {
		c.Members = append(c.Members, raftlog.Member{Name: m.Name, Role: m.Role})
	}
	// A recovered cluster's founders are not those of its oldest entries.
	for _, m := range cfg.Members {
		if !slices.ContainsFunc(c.Members, func(f raftlog.Member) bool { return f.Name == m.Name }) {
			c.Members = append(c.Members, raftlog.Member{Name: m.Name, Role: m.Role})
		}
	}
	return c
}

func lostMembers(c raftlog.Configuration, self string) (names []string) {
	for _, s := range c.Servers {
		if s.Name != self {
			names = append(names, s.Name)
		}
	}
	return names
}

// recoverWarning says what is at stake, truly.
func recoverWarning(cfg *config, s raftlog.Survivor, lost []string) string {
	damaged := ""
	if s.Damaged != "" {
		damaged = "- The log of this node was damaged, and is sound up to that entry only: " + s.Damaged + "\n"
	}
	names := strings.Join(lost, " and ")
	return fmt.Sprintf(`Node %[1]s of cluster %[2]s has the log up to entry %[3]d, of term %[4]d.
It would go on alone from there, without %[5]s.

- Lost is whatever was acknowledged after entry %[3]d. That cannot be told from here. A change is acknowledged
  when two of three have it. If this node was up and in sync until it lost the others, it has everything. If it
  was down, cut off or behind before, the changes since then are only on the lost machines: bring one of them
  back, if there is any way, instead of this.
%[6]s- Changes at the end of this log that nobody was told about become done.
- %[5]s must never run again with their old directories. This node's cluster gets a new id, and refuses them for
  ever; one of them that reaches this node learns it and ends for good. But two of them that run and do not reach
  it are a quorum of the old cluster and would serve the old volume beside this one. Wipe their disks.
`, cfg.Node, cfg.Cluster, s.Last, s.Term, names, damaged)
}

// word checks that the operator means it.
func (f *recoverFlags) word(cfg *config, lost []string) error {
	given := strings.FieldsFunc(f.lost, func(r rune) bool { return r == ' ' || r == ',' })
	slices.Sort(given)
	want := slices.Sorted(slices.Values(lost))
	say := fmt.Sprintf("give --i-lost %q --cluster %s to do it", strings.Join(want, " "), cfg.Cluster)
	switch {
	case f.lost == "" && f.cluster == "":
		return fmt.Errorf("nothing was changed: %s", say)
	case !slices.Equal(given, want):
		return fmt.Errorf("nothing was changed: --i-lost names %q, and the other members are %q: %s", strings.Join(given, " "), strings.Join(want, " "), say)
	case f.cluster != cfg.Cluster:
		return fmt.Errorf("nothing was changed: --cluster says %q: %s", f.cluster, say)
	}
	return nil
}

// recover does it. The new cluster id comes first: this node never leads alone
// under the old one. If it is interrupted it is simply given again.
func (f *recoverFlags) recover(out io.Writer, dir *identity.Dir, log raftlog.Config, s raftlog.Survivor) error {
	self, ok := s.Members.Server(log.Name)
	if !ok || !self.Voter {
		return fmt.Errorf("nothing was changed: node %s does not vote, since it has not caught up: its copy is not whole", log.Name)
	}
	next, err := dir.Binding().Recover(dir.Identity().Member())
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	r := &roster{Index: uint64(s.Last) + 1, Members: []rosterMember{{
		Name: self.Name, Role: self.Role, Addr: self.Addr, Identity: dir.Identity().NodeID.String(), Voter: true,
	}}}
	if err := errors.Join(dir.Rebind(next), saveRoster(dir.Path(), r)); err != nil {
		return fmt.Errorf("%w: not done: give the command again", err)
	}
	if _, err := raftlog.Recover(log, true); err != nil {
		return fmt.Errorf("%w: not done: give the command again", err)
	}
	fmt.Fprintf(out, "\nNode %s is the only member of cluster %s now (cluster id %s, before %s).\n"+
		"Start it, and then add a data node and a witness: twofold init --join, twofold member add.\n",
		log.Name, next.Cluster, next.ClusterID, next.Ancestors[len(next.Ancestors)-1])
	return nil
}
