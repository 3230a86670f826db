//go:build race

package state_test

// raceDetector says that the build is ten times slower: what one goroutine does at length does less.
const raceDetector = true
