package matrix

// Event is what befalls a cluster as an operator would put it, and the rows that bring it about, or the tests that do where no row can, and what they
// show.
type Event struct {
	What  string
	Rows  []string
	Shown string
	Tests []string
}

// Events are the things that happen.
var Events = []Event{
	{What: "B stops or crashes", Rows: []string{"B down", "B drained"}},
	{What: "A crashes", Rows: []string{"A down"}},
	{What: "A is drained", Rows: []string{"A drained"}},
	{What: "W stops", Rows: []string{"W down"}},
	{What: "A hangs on its disk, not dead", Rows: []string{"A hung disk"}},
	{What: "B hangs on its disk", Rows: []string{"B hung disk"}},
	{What: "A is paused", Rows: []string{"A paused"}},
	{What: "A is cut off from B and W", Rows: []string{"A cut off from both"}},
	{What: "A and B are cut off from each other, both see W", Rows: []string{"A cut off from B"}},
	{What: "B is down, then A's disk is lost", Rows: []string{"A down, B behind"}},
	{What: "A disk is full", Rows: []string{"A's disk full", "B's disk full"}},
	{What: "Bytes of a log are flipped", Rows: []string{"A down, its log damaged", "B down, its log damaged", "W down, its log damaged"}},
	{What: "Bytes of a store are torn or flipped", Rows: []string{"A down, its state lost", "B down, its state lost", "A drained, its table damaged", "B drained, its table damaged"}, Shown: "nothing: the copy is replaced by the other node's",
		Tests: []string{"TestProcess_RefetchScrubbed"}},
	{What: "B is down for longer than the log is kept", Shown: "A serves; B is sent what differs", Tests: []string{"TestCatchUp_StoreBeyondTheLog"}},
	{What: "Two of three machines are lost for good", Shown: "nobody is served until an operator orders `twofold recover`, which fences the lost ones", Tests: []string{"TestProcess_RecoverAlone"}},
	{What: "A clock jumps, either way", Shown: "nothing; `scripts/client-test` sets the clock of a running node", Tests: []string{"TestLogClock_OneClockAlone"}},
}
