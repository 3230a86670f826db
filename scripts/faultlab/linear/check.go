package linear

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"twofold/nfs/client"
)

// searchLimit is how long the search for an order may take.
const searchLimit = time.Minute

// Verdict is what came out of a check.
type Verdict struct {
	Violations []string
	Undecided  int // objects whose search took too long
	Objects    int
	Ops        int // that were answered
	Unknown    int // whose outcome nobody knows
}

// Check decides whether a history can be.
func (h *History) Check() Verdict {
	ops := h.Ops()
	v := Verdict{Violations: learnOwners(ops)}
	for _, op := range ops {
		v.Objects = max(v.Objects, op.In.Object+1)
		if op.Out.Unknown {
			v.Unknown++
		} else {
			v.Ops++
		}
	}
	v.Violations = append(v.Violations, checkCtimes(ops)...)
	for object := range v.Objects {
		switch porcupine.CheckOperationsTimeout(model(h.Files), operations(ops, object), searchLimit) {
		case porcupine.Illegal:
			v.Violations = append(v.Violations, fmt.Sprintf("no order of single steps explains what clients saw of object %d", object))
		case porcupine.Unknown:
			v.Undecided++
		}
	}
	return v
}

// operations are those of one object as porcupine wants them. One whose outcome is unknown may take effect at any time later.
func operations(ops []Op, object int) (list []porcupine.Operation) {
	for _, op := range ops {
		if op.In.Object != object {
			continue
		}
		end := int64(op.Return)
		if op.Out.Unknown {
			if op.In.Kind == Read || op.In.Kind == Getattr || op.In.Kind >= Lookup && op.In.Kind <= ReaddirPlus {
				continue // it changes nothing and tells nothing
			}
			end = math.MaxInt64
		}
		list = append(list, porcupine.Operation{ClientId: op.Client, Input: op.In, Call: int64(op.Call), Output: op.Out, Return: end})
	}
	return list
}

// learnOwners gives READDIR, which tells file ids alone, the owners that other answers told for these ids. An id with two owners is a violation.
func learnOwners(ops []Op) (violations []string) {
	owners := map[uint64]uint32{}
	learn := func(id uint64, owner uint32) {
		if id == 0 || owner == 0 || owner == anyOwner {
			return
		}
		if old, ok := owners[id]; ok && old != owner {
			violations = append(violations, fmt.Sprintf("file id %d has the owners %d and %d", id, old, owner))
		}
		owners[id] = owner
	}
	for _, op := range ops {
		learn(op.FileID, op.Out.Owner)
		for i, id := range op.IDs {
			learn(id, op.Out.Owners[i])
		}
	}
	for i := range ops {
		for n, id := range ops[i].IDs {
			if owner, ok := owners[id]; ok && ops[i].Out.Owners[n] == anyOwner {
				ops[i].Out.Owners[n] = owner
			}
		}
	}
	return violations
}

// checkCtimes finds answers with an older ctime than one that was there before they were asked for.
func checkCtimes(ops []Op) (violations []string) {
	byObject := map[int][]Op{}
	for _, op := range ops {
		if op.Ctime != (client.Time{}) && !op.Out.Unknown {
			byObject[op.In.Object] = append(byObject[op.In.Object], op)
		}
	}
	for _, seen := range byObject {
		byReturn := slices.Clone(seen)
		slices.SortFunc(byReturn, func(a, b Op) int { return int(a.Return - b.Return) })
		slices.SortFunc(seen, func(a, b Op) int { return int(a.Call - b.Call) })
		var newest Op
		next := 0
		for _, op := range seen {
			for ; next < len(byReturn) && byReturn[next].Return < op.Call; next++ {
				if newest.Ctime.Time().Before(byReturn[next].Ctime.Time()) {
					newest = byReturn[next]
				}
			}
			if op.Ctime.Time().Before(newest.Ctime.Time()) {
				violations = append(violations, fmt.Sprintf("ctime goes back: %v with %v, after %v with %v", op, op.Ctime, newest, newest.Ctime))
			}
		}
	}
	return violations
}

// Save writes a history for people to look at: all operations as text and as JSON, and for each object that nothing explains a page that shows how far
// an order was found.
func (h *History) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ops := slices.Clone(h.Ops())
	slices.SortFunc(ops, func(a, b Op) int { return int(a.Call - b.Call) })
	var text strings.Builder
	objects := 0
	for _, op := range ops {
		fmt.Fprintln(&text, op)
		objects = max(objects, op.In.Object+1)
	}
	data, err := json.MarshalIndent(ops, "", " ")
	if err != nil {
		return err
	}
	errs := []error{
		os.WriteFile(filepath.Join(dir, "history.txt"), []byte(text.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "history.json"), data, 0o644),
	}
	for object := range objects {
		res, info := porcupine.CheckOperationsVerbose(model(h.Files), operations(ops, object), searchLimit)
		if res != porcupine.Ok {
			page := filepath.Join(dir, fmt.Sprintf("object-%d.html", object))
			errs = append(errs, porcupine.VisualizePath(model(h.Files), info, page))
		}
	}
	return errors.Join(errs...)
}
