//go:build race

package billyfs_test

const raceEnabled = true
