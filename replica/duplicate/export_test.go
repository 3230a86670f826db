package duplicate

import (
	"fmt"
	"slices"
	"strings"
)

// Dump writes down what decides the future of an Index: every record in log
// order, what stays of each client, and how far old records were passed.
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
	fmt.Fprintf(&b, "%sdue %d, late %d, bytes %d\n", strings.Join(clients, ""), seq(x.due), len(x.late), x.bytes)
	return b.String()
}

// Taken returns the places that are in use or were, of records and of clients.
func (x *Index) Taken() (records, clients int) {
	return int(x.records.used), int(x.clients.used)
}
