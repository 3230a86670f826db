package main

import (
	"errors"

	"twofold/nfs/export"
)

// rules returns one rule for each network of the entry.
func (e exportConfig) rules() ([]export.Rule, error) {
	if len(e.Clients) == 0 {
		return nil, errors.New("clients: missing: list addresses or networks like 10.0.0.0/24")
	}
	out := make([]export.Rule, 0, len(e.Clients))
	for _, c := range e.Clients {
		r, err := export.ParseRule(c, e.Options)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// exportTable is the table of all entries.
func (c *config) exportTable() (*export.Table, error) {
	var rules []export.Rule
	for _, e := range c.Exports {
		r, err := e.rules()
		if err != nil {
			return nil, err
		}
		rules = append(rules, r...)
	}
	return export.New(rules)
}
