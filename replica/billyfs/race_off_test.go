//go:build !race

package billyfs_test

const raceEnabled = false
