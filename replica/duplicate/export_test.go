package duplicate

import (
	"fmt"
	"slices"
	"strings"
)

// Dump writes down what decides the future of an Index: every record in log
// order, what stays of each client, and what is surplus in the order in which it goes.
func (x *Index) Dump() string {
	var b strings.Builder
	seq := func(i uint32) uint64 {
		if i == none {
			return 0
		}
		return x.records.at(i).Seq
	}
	for i := x.records.at(none).newer; i != none; i = x.records.at(i).newer {
		fmt.Fprintf(&b, "%+v\n", x.records.at(i).Record)
	}
	var clients []string
	for addr, i := range x.addresses {
		c := x.clients.at(i)
		clients = append(clients, fmt.Sprintf("client %x: %d from %d to %d\n", addr, c.kept, seq(c.first), seq(c.last)))
	}
	slices.Sort(clients)
	b.WriteString(strings.Join(clients, ""))
	for i := x.surplus.first; i != none; i = x.records.at(i).sequel {
		fmt.Fprintf(&b, "surplus %d\n", seq(i))
	}
	fmt.Fprintf(&b, "bytes %d\n", x.bytes)
	return b.String()
}

// Taken returns the places that are in use or were, of records and of clients.
func (x *Index) Taken() (records, clients int) {
	return int(x.records.used), int(x.clients.used)
}
