package matrix

// Event is what befalls a cluster as an operator would put it, and the rows that bring it about, or the test that does where no row can.
type Event struct {
	What string
	Rows []string
	Test string
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
}
