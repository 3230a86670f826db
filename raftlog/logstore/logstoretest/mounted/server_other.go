//go:build !linux

package mounted

import (
	"errors"
	"io"
)

// Serve is for Linux.
func Serve(io.Reader, io.Writer) error { return errors.New("mounted: only on Linux") }
