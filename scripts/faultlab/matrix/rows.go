package matrix

import (
	"fmt"
	"slices"
	"strings"

	"twofold/scripts/faultlab/lab"
)

// Role is what a node was when the faults came.
type Role int

// The roles. They index a Situation in place of nodes.
const (
	Leader Role = iota
	Follower
	Witness
	roles = lab.Nodes
)

// String is the letter that stands for a role in tables: A leads, B is the other data node.
func (r Role) String() string { return [...]string{"A", "B", "W"}[r] }

// Row is a situation in terms of roles.
type Row struct {
	Number    int // from 1, always the same for the same row
	Name      string
	Faults    int
	Situation lab.Situation // indexed by Role
	Drained   bool          // the node that is down was asked to stop
	Full      bool          // the disk of Victim is full
	Damage    lab.Damage    // to the files of Victim while it is down
	Victim    Role
}

// fault is one thing that befalls one role.
type fault struct {
	role  Role
	name  string
	apply func(*lab.Situation)
}

// faultsOf lists what can befall a role.
func faultsOf(r Role) []fault {
	var list []fault
	for _, c := range []lab.Condition{lab.Down, lab.Hung, lab.Paused, lab.Behind} {
		list = append(list, fault{r, fmt.Sprintf("%s %s", r, c), func(s *lab.Situation) { s.Nodes[r] = c }})
	}
	var both []func(*lab.Situation)
	for other := range Role(roles) {
		if other == r {
			continue
		}
		cut := func(s *lab.Situation) { s.CutLink(lab.Node(r), lab.Node(other)) }
		both = append(both, cut)
		list = append(list, fault{r, fmt.Sprintf("%s cut off from %s", r, other), cut})
	}
	return append(list, fault{r, fmt.Sprintf("%s cut off from both", r), func(s *lab.Situation) {
		for _, cut := range both {
			cut(s)
		}
	}})
}

// oneWay lists the cuts of one direction.
func oneWay() (list []fault) {
	for from := range Role(roles) {
		for to := range Role(roles) {
			if from != to {
				list = append(list, fault{from, fmt.Sprintf("nothing gets from %s to %s", from, to), func(s *lab.Situation) { s.Cut[from][to] = true }})
			}
		}
	}
	return list
}

// Rows lists every single fault, every single direction of a link, and every pair of faults of two nodes; then the planned stops, the full disks and the damaged files.
func Rows() []Row {
	var rows []Row
	seen := map[lab.Situation]bool{}
	add := func(faults ...fault) {
		var s lab.Situation
		var names []string
		for _, f := range faults {
			f.apply(&s)
			names = append(names, f.name)
		}
		if !seen[s] {
			seen[s] = true
			rows = append(rows, Row{
				Number: len(rows) + 1, Name: strings.Join(names, ", "), Faults: len(faults), Situation: s,
			})
		}
	}
	for r := range Role(roles) {
		for _, f := range faultsOf(r) {
			add(f)
		}
	}
	for _, f := range oneWay() {
		add(f)
	}
	for x := range Role(roles) {
		for y := x + 1; y < roles; y++ {
			for _, f := range faultsOf(x) {
				for _, g := range faultsOf(y) {
					add(f, g)
				}
			}
		}
	}
	for _, r := range []Role{Leader, Follower} {
		row := Row{Number: len(rows) + 1, Name: r.String() + " drained", Faults: 1, Drained: true, Victim: r}
		row.Situation.Nodes[r] = lab.Down
		rows = append(rows, row)
	}
	for _, r := range []Role{Leader, Follower} {
		rows = append(rows, Row{Number: len(rows) + 1, Name: r.String() + "'s disk full", Faults: 1, Full: true, Victim: r})
	}
	return append(rows, damaged(len(rows))...)
}

// damageNames are the damages as rows name them.
var damageNames = map[lab.Damage]string{lab.LogFlip: "log damaged", lab.StateLost: "state lost", lab.TableFlip: "table damaged"}

// damaged lists the rows in which a node is down, and its files are not as it left them when it starts again.
func damaged(before int) (rows []Row) {
	for _, r := range []Role{Leader, Follower, Witness} {
		for _, d := range []lab.Damage{lab.LogFlip, lab.StateLost} {
			if r == Witness && d == lab.StateLost {
				continue // it has none
			}
			row := Row{Number: before + len(rows) + 1, Name: fmt.Sprintf("%s down, its %s", r, damageNames[d]), Faults: 1, Damage: d, Victim: r}
			row.Situation.Nodes[r] = lab.Down
			rows = append(rows, row)
		}
	}
	// Tables have what a row damages once the node has written everything out, as one does that is drained.
	for _, r := range []Role{Leader, Follower} {
		row := Row{Number: before + len(rows) + 1, Name: fmt.Sprintf("%s drained, its %s", r, damageNames[lab.TableFlip]), Faults: 1, Drained: true, Damage: lab.TableFlip, Victim: r}
		row.Situation.Nodes[r] = lab.Down
		rows = append(rows, row)
	}
	return rows
}

// Third is the part of the rows that every test run takes: those that the table of events names, and a third of the others.
func Third(rows []Row) []Row {
	var some []Row
	for _, r := range rows {
		event := slices.ContainsFunc(Events, func(e Event) bool { return slices.Contains(e.Rows, r.Name) })
		if event || r.Number%3 == 0 {
			some = append(some, r)
		}
	}
	return some
}

// placed says which node has which role.
func placed(leader lab.Node) [roles]lab.Node {
	return [roles]lab.Node{leader, leader.Other(), lab.W}
}

// Place turns a situation of roles into one of nodes.
func (r Row) Place(leader lab.Node) lab.Situation {
	at := placed(leader)
	var s lab.Situation
	for x, n := range at {
		s.Nodes[n] = r.Situation.Nodes[x]
		for y, m := range at {
			s.Cut[n][m] = r.Situation.Cut[x][y]
		}
	}
	return s
}
