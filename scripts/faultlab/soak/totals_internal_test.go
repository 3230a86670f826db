package soak

import "testing"

// A run goes on where the last one ended, unless that is to be forgotten.
func TestTotals_Resume(t *testing.T) {
	dir := t.TempDir()
	if got, err := load(dir); err != nil || got != (Totals{}) {
		t.Fatalf("nothing yet: %+v, %v", got, err)
	}
	want := Totals{Seconds: 12.5, Epochs: 2, Operations: 77, Wrong: 1}
	if err := want.save(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := load(dir); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for range 2 {
		if err := Forget(dir); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := load(dir); err != nil || got != (Totals{}) {
		t.Errorf("forgotten: %+v, %v", got, err)
	}
}
