package linear

import (
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"

	"twofold/nfs/client"
)

// fileState is a file as the model has it.
type fileState struct {
	data string
	mode uint32
}

// dirState has the owner of what each name names, 0 for none.
type dirState [names]uint32

// firstMode is the mode that files are made with.
const firstMode = 0o644

// model is the volume as a client must see it. Each object is checked for itself: a linearizable object stays so beside others (Herlihy and Wing,
// "Linearizability: a correctness condition for concurrent objects", 1990, theorem 1).
func model(files int) porcupine.Model {
	return porcupine.Model{
		Partition: func(h []porcupine.Operation) [][]porcupine.Operation {
			var parts [][]porcupine.Operation
			for _, op := range h {
				i := op.Input.(Input).Object
				for len(parts) <= i {
					parts = append(parts, nil)
				}
				parts[i] = append(parts[i], op)
			}
			return parts
		},
		// The first operation tells which kind of object it is: the two kinds of operations never mix.
		Init: func() any { return nil },
		Step: func(state, input, output any) (bool, any) {
			in, out := input.(Input), output.(Output)
			if in.Object < files {
				s := fileState{mode: firstMode}
				if state != nil {
					s = state.(fileState)
				}
				return s.step(in, out)
			}
			var s dirState
			if state != nil {
				s = state.(dirState)
			}
			return s.step(in, out)
		},
		DescribeOperation: func(in, out any) string { return describe(in.(Input), out.(Output)) },
		DescribeState:     func(s any) string { return fmt.Sprintf("%+v", s) },
	}
}

// step is one operation on a file.
func (s fileState) step(in Input, out Output) (bool, any) {
	if !out.Unknown && out.Status != client.OK {
		return false, s // nothing that clients do to a file can fail
	}
	switch in.Kind {
	case Read:
		return out.Unknown || out.Data == s.data, s
	case Getattr:
		return out.Unknown || out.Size == uint64(len(s.data)) && out.Mode == s.mode, s
	case Chmod:
		s.mode = in.Mode
	case Truncate:
		s.data = padded(s.data, in.Slot*slotBytes)[:in.Slot*slotBytes]
	case Write:
		end := (in.Slot + 1) * slotBytes
		data := padded(s.data, end)
		s.data = data[:in.Slot*slotBytes] + in.Value + data[end:]
	}
	return true, s
}

// padded is a content with zeros up to a size.
func padded(data string, size int) string {
	return data + strings.Repeat("\x00", max(0, size-len(data)))
}

// step is one operation on a directory.
func (s dirState) step(in Input, out Output) (bool, any) {
	status, next := s.run(in)
	if out.Unknown {
		return true, next
	}
	if out.Status != status {
		return false, s
	}
	switch in.Kind {
	case Lookup:
		return status != client.OK || out.Owner == s[in.Name], next
	case Readdir, ReaddirPlus:
		for i, owner := range out.Owners {
			if owner != s[i] && (owner != anyOwner || s[i] == 0) {
				return false, s
			}
		}
	}
	return true, next
}

// run gives the status that an operation must have, and the directory after it.
func (s dirState) run(in Input) (client.Status, dirState) {
	there := s[in.Name] != 0
	switch in.Kind {
	case CreateExclusive, CreateGuarded:
		if there {
			return client.ErrExist, s
		}
		s[in.Name] = in.Owner
	case Lookup, Remove, Rename:
		if !there {
			return client.ErrNoEnt, s
		}
		if in.Kind == Rename {
			s[in.To] = s[in.Name]
		}
		if in.Kind != Lookup {
			s[in.Name] = 0
		}
	}
	return client.OK, s
}
