package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	nfsload "twofold/nfs/load"
)

// Fields of a block device's stat file (Documentation/block/stat.rst of Linux): sectors written, and flush requests, which Linux counts since 5.5.
const (
	statSectorsWritten = 6
	statFlushes        = 15
	sectorBytes        = 512
)

// diskStatPath finds the counters of the disk that a directory is on.
func diskStatPath(dir string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return "", fmt.Errorf("--disk %s: %w", dir, err)
	}
	path := fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev))
	if _, err := readDisk(path); err != nil {
		return "", fmt.Errorf("--disk %s: its file system is on no block device of its own that counts flushes: %w", dir, err)
	}
	return path, nil
}

// readDisk reads what a disk has done since the start of the host.
func readDisk(path string) (u nfsload.DiskUsage, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(text))
	if len(fields) <= statFlushes {
		return u, fmt.Errorf("%s has %d fields", path, len(fields))
	}
	sectors, err := strconv.ParseInt(fields[statSectorsWritten], 10, 64)
	if err != nil {
		return u, fmt.Errorf("%s: %w", path, err)
	}
	if u.Flushes, err = strconv.ParseInt(fields[statFlushes], 10, 64); err != nil {
		return u, fmt.Errorf("%s: %w", path, err)
	}
	u.WrittenBytes = sectors * sectorBytes
	return u, nil
}
