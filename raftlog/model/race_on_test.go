//go:build race

package model_test

// raceDetector says that the build is ten times slower, for searches of one goroutine that have no race to find.
const raceDetector = true
