//go:build !linux

package disklab

// Disk is a file system that fails; here there is none.
type Disk struct {
	// Dir is where it is.
	Dir string
}

// New returns ErrUnavailable.
func New(string, int64) (*Disk, error) { return nil, ErrUnavailable }

// Freeze returns ErrUnavailable.
func (*Disk) Freeze() error { return ErrUnavailable }

// Thaw returns ErrUnavailable.
func (*Disk) Thaw() error { return ErrUnavailable }

// Fail returns ErrUnavailable.
func (*Disk) Fail() error { return ErrUnavailable }

// Replug returns ErrUnavailable.
func (*Disk) Replug() error { return ErrUnavailable }

// Fill returns ErrUnavailable.
func (*Disk) Fill() error { return ErrUnavailable }

// Free returns ErrUnavailable.
func (*Disk) Free() error { return ErrUnavailable }

// Close does nothing.
func (*Disk) Close() error { return nil }
