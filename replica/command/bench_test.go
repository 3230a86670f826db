package command_test

import (
	"fmt"
	"testing"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// hotCommands are the changes that a busy client makes most.
func hotCommands() map[string]*command.Command {
	dir := vfs.RootRef()
	return map[string]*command.Command{
		"Create":  {Header: command.Header{Type: command.TypeCreate, Volume: 1}, Op: &vfs.OpCreate{Dir: dir, Name: "some-longer-name.html", Mode: vfs.CreateGuarded}},
		"Write4K": {Header: command.Header{Type: command.TypeWrite, Volume: 1}, Op: &vfs.OpWrite{Ref: dir, Data: make([]byte, 4096)}},
		"Remove":  {Header: command.Header{Type: command.TypeRemove, Volume: 1}, Op: &vfs.OpRemove{Dir: dir, Name: "some-longer-name.html"}},
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, c := range hotCommands() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = command.Append(buf[:0], c); err != nil {
					b.Fatal(err)
				}
				command.Seal(buf, 1, 2)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, c := range hotCommands() {
		b.Run(name, func(b *testing.B) {
			enc := sealed(b, c)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := command.Decode(enc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBatch makes and takes apart the log entry of many callers' CREATEs.
func BenchmarkBatch(b *testing.B) {
	enc := sealed(b, hotCommands()["Create"])
	for _, n := range []int{1, 16, 64, 256} {
		encs := make([][]byte, n)
		for i := range encs {
			encs[i] = enc
		}
		entry := command.AppendBatch(nil, encs)
		b.Run(fmt.Sprintf("append/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, len(entry))
			for b.Loop() {
				buf = command.AppendBatch(buf[:0], encs)
			}
		})
		b.Run(fmt.Sprintf("decode/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if cmds, err := command.DecodeBatch(entry); err != nil || len(cmds) != n {
					b.Fatal(len(cmds), err)
				}
			}
		})
	}
}
