package consensus

import (
	"errors"
	"fmt"
)

// ErrDamaged says that a directory doesn't hold what was written to it. The node must not take part from it: it may have
// answered for what is gone, entries or its vote.
var ErrDamaged = errors.New("the data directory is damaged")

// errBelowDamagedSnapshot says that neither the newest snapshot nor the log above an older one is whole.
var errBelowDamagedSnapshot = errors.New("the newest snapshot can't be read, and neither can an entry between an older one and it")

// The parts of a directory that can be damaged.
const (
	PartLog      = "log"
	PartSnapshot = "snapshot"
	PartVote     = "vote"
)

// DamageError says which part of a directory is damaged, and how that was seen. It is an ErrDamaged.
type DamageError struct {
	Part string
	Err  error
}

// Error implements error.
func (e *DamageError) Error() string { return fmt.Sprintf("%v: %s: %v", ErrDamaged, e.Part, e.Err) }

// Unwrap returns ErrDamaged and the cause.
func (e *DamageError) Unwrap() []error { return []error{ErrDamaged, e.Err} }

// damaged wraps the cause, if there is one.
func damaged(part string, err error) error {
	if err == nil {
		return nil
	}
	return &DamageError{part, err}
}
