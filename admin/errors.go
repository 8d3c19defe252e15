package admin

import "errors"

// Errors of a Backend. The table in this package maps each to an HTTP status,
// a stable code and an exit code.
var (
	ErrUnknownBot     = errors.New("no such bot")
	ErrUnknownNode    = errors.New("no such node")
	ErrUnknownShard   = errors.New("no such shard")
	ErrNotFound       = errors.New("not found")
	ErrBadRequest     = errors.New("bad request")
	ErrRefused        = errors.New("refused")
	ErrConflict       = errors.New("conflict")             // a version or revision has changed
	ErrNoQuorum       = errors.New("no quorum")            // no leader, or no majority answers
	ErrUnknownOutcome = errors.New("outcome unknown")      // may or may not have happened
	ErrNotInCluster   = errors.New("not in a cluster yet") // idle or joining
	ErrNotReady       = errors.New("not ready")
)

// HintError is an error with a hint what to do about it.
type HintError struct {
	Err  error
	Hint string
}

// Error implements error.
func (e *HintError) Error() string { return e.Err.Error() }

// Unwrap returns the error that the hint is for.
func (e *HintError) Unwrap() error { return e.Err }

// WithHint adds a hint to an error.
func WithHint(err error, hint string) error { return &HintError{Err: err, Hint: hint} }
