package soak

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// totalsFile is where the sums of all runs so far are.
const totalsFile = "totals.json"

// Totals are the sums of a soak, also over several runs.
type Totals struct {
	Seconds    float64 `json:"seconds"`
	Epochs     int     `json:"epochs"`
	Faults     int     `json:"faults"`     // situations that were brought about
	Operations int     `json:"operations"` // that were acknowledged
	Unknown    int     `json:"unknown"`    // whose outcome no client learned
	Repeated   int     `json:"repeated"`   // calls that were sent again under their XID
	Jukebox    int     `json:"jukebox"`
	Objects    int     `json:"objects"` // histories that were checked
	Undecided  int     `json:"undecided"`
	Wrong      int     `json:"wrong"` // epochs with something lost, stale, done twice or left without an answer
}

// String is the totals in words.
func (t Totals) String() string {
	return fmt.Sprintf("%s, %d epochs, %d faults, %d operations acknowledged, %d with unknown outcome, %d repeated, %d JUKEBOX; %d objects checked, %d undecided; %d epochs with something lost, stale or run twice",
		time.Duration(t.Seconds*float64(time.Second)).Round(time.Second), t.Epochs, t.Faults, t.Operations, t.Unknown, t.Repeated, t.Jukebox,
		t.Objects, t.Undecided, t.Wrong)
}

// load reads the totals of earlier runs; there may be none.
func load(dir string) (t Totals, err error) {
	data, err := os.ReadFile(filepath.Join(dir, totalsFile))
	if errors.Is(err, os.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(data, &t)
}

// save replaces the totals as a whole, so that a run that is killed leaves the old or the new ones.
func (t Totals) save(dir string) error {
	data, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, totalsFile+".new")
	if err := os.WriteFile(temp, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, totalsFile))
}

// Forget removes the totals of earlier runs. What they found wrong stays.
func Forget(dir string) error {
	if err := os.Remove(filepath.Join(dir, totalsFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
