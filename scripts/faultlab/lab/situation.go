package lab

import (
	"errors"
	"syscall"
)

// Condition is how a node is.
type Condition int

// The conditions of a node. What its links are is told by Situation.Cut.
const (
	Up     Condition = iota
	Down             // killed
	Hung             // its disk takes no write
	Paused           // its process stands still
	Behind           // it was down while clients wrote, and is started now
)

// String is the condition as tables name it.
func (c Condition) String() string {
	return [...]string{"up", "down", "hung disk", "paused", "behind"}[c]
}

// Situation is how all nodes and all links between them are.
type Situation struct {
	Nodes [Nodes]Condition
	Cut   [Nodes][Nodes]bool // Cut[x][y]: nothing gets from x to y
}

// Healthy reports that nothing is wrong.
func (s Situation) Healthy() bool { return s == Situation{} }

// Linked reports that messages get from x to y and back.
func (s Situation) Linked(x, y Node) bool { return !s.Cut[x][y] && !s.Cut[y][x] }

// CutLink cuts the link of two nodes in both directions.
func (s *Situation) CutLink(x, y Node) { s.Cut[x][y], s.Cut[y][x] = true, true }

// Prepare takes down a node that is to be behind, and reports whether there is one: then the caller has clients write before Apply. If a second one is
// to be behind, it misses nothing, since nobody can acknowledge anything without it: Apply only restarts it.
func (l *Lab) Prepare(s Situation) (bool, error) {
	for n, c := range s.Nodes {
		if c == Behind {
			return true, l.Kill(Node(n))
		}
	}
	return false, nil
}

// Apply brings a situation about in a healthy cluster, after Prepare.
func (l *Lab) Apply(s Situation) error {
	errs := []error{l.cut(s)}
	for n, c := range s.Nodes {
		m := l.members[n]
		switch c {
		case Down, Behind:
			errs = append(errs, m.end(syscall.SIGKILL))
		case Paused:
			_, err := m.signal(syscall.SIGSTOP)
			errs = append(errs, err)
		case Hung:
			errs = append(errs, m.disk.freeze())
		}
	}
	for n, c := range s.Nodes {
		if c == Behind {
			errs = append(errs, l.Start(Node(n)))
		}
	}
	return errors.Join(errs...)
}

// cut gives each node the rules of a situation.
func (l *Lab) cut(s Situation) error {
	var errs []error
	for n, m := range l.members {
		var from []Node
		for x := range Nodes {
			if s.Cut[x][n] {
				from = append(from, Node(x))
			}
		}
		rules := l.network.ruleset(from)
		errs = append(errs, m.thread.do(func() error { return runWith(rules, "nft", "-f", "-") }))
	}
	return errors.Join(errs...)
}

// Heal ends every fault, and starts every node that is down.
func (l *Lab) Heal() error {
	var errs []error
	for _, m := range l.members {
		errs = append(errs, m.disk.thaw())
		_, err := m.signal(syscall.SIGCONT)
		errs = append(errs, err)
	}
	errs = append(errs, l.cut(Situation{}))
	for n, m := range l.members {
		errs = append(errs, m.disk.empty())
		if !m.running() {
			errs = append(errs, l.Start(Node(n)))
		}
	}
	return errors.Join(errs...)
}
