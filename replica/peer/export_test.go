package peer

// MaxReads is maxReads, for tests.
const MaxReads = maxReads
