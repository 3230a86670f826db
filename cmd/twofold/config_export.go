package main

import (
	"errors"
	"strings"

	"twofold/nfs/export"
	"twofold/replica/vfs"
)

// text is the entry as the export table has it: its clients, each with the
// entry's options.
func (e exportConfig) text() (string, error) {
	if len(e.Clients) == 0 {
		return "", errors.New("clients: missing: list addresses or networks like 10.0.0.0/24")
	}
	options := "(" + strings.Join(e.Options, ",") + ")"
	text := strings.Join(e.Clients, options+" ") + options
	clients, err := export.ParseClients(text)
	return export.FormatClients(clients), err
}

// exportTable is the table of all entries: the whole volume.
func (c *config) exportTable() (vfs.ExportTable, error) {
	var clients []string
	for _, e := range c.Exports {
		text, err := e.text()
		if err != nil {
			return vfs.ExportTable{}, err
		}
		clients = append(clients, text)
	}
	if len(clients) == 0 {
		return vfs.ExportTable{}, nil
	}
	all, err := export.ParseExport("/", strings.Join(clients, " "))
	all.Root = vfs.RootRef()
	return vfs.ExportTable{Exports: []vfs.Export{all}}, err
}
