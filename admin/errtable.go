package admin

import (
	"context"
	"errors"
	"net/http"
)

// The exit codes of the command line.
const (
	ExitDone    = 0
	ExitFailed  = 1 // refused or failed
	ExitUsage   = 2 // usage, or configuration that a restart can't cure
	ExitUnknown = 3 // unreachable, no quorum, outcome unknown: scripts may retry
)

// Errors that this package itself returns.
var (
	// ErrUnreachable means that nothing was done: the node can't be reached.
	ErrUnreachable = errors.New("the node can't be reached")
	// ErrUnauthorized means that the API wants another token.
	ErrUnauthorized = errors.New("the admin API's token is missing or wrong")
	// ErrBotRequired means that there are several bots and none was named.
	ErrBotRequired = errors.New("several bots run here: name one")
	// ErrNotHealthy is what a check ends with that found problems.
	ErrNotHealthy = errors.New("not healthy")
	// ErrClosed is returned by a server that was stopped.
	ErrClosed = errors.New("the admin API is closed")
	// ErrInsecureBind refuses an open API that others could reach.
	ErrInsecureBind = errors.New("refusing to serve the admin API beyond loopback without a token")
)

// kind is one row of the table of errors.
type kind struct {
	err       error
	status    int
	code      string
	retryable bool
	exit      int
}

// kinds maps errors to HTTP statuses, codes and exit codes. The first row that
// an error matches counts; docs/errors.md explains every code.
var kinds = []kind{
	{ErrUnauthorized, http.StatusUnauthorized, "unauthorized", false, ExitFailed},
	{ErrBotRequired, http.StatusBadRequest, "bot_required", false, ExitUsage},
	{ErrBadRequest, http.StatusBadRequest, "bad_request", false, ExitUsage},
	{ErrUnknownBot, http.StatusNotFound, "unknown_bot", false, ExitFailed},
	{ErrUnknownNode, http.StatusNotFound, "unknown_node", false, ExitFailed},
	{ErrUnknownShard, http.StatusNotFound, "unknown_shard", false, ExitFailed},
	{ErrNotFound, http.StatusNotFound, "not_found", false, ExitFailed},
	{ErrConflict, http.StatusPreconditionFailed, "conflict", false, ExitFailed},
	{ErrNotInCluster, http.StatusConflict, "not_in_cluster", false, ExitFailed},
	{ErrNotReady, http.StatusServiceUnavailable, "not_ready", true, ExitUnknown},
	{ErrRefused, http.StatusConflict, "refused", false, ExitFailed},
	{ErrUnknownOutcome, http.StatusGatewayTimeout, "unknown_outcome", true, ExitUnknown},
	{ErrNoQuorum, http.StatusServiceUnavailable, "no_quorum", true, ExitUnknown},
	{ErrUnreachable, http.StatusBadGateway, "unreachable", true, ExitUnknown},
	{ErrNotHealthy, http.StatusServiceUnavailable, "not_healthy", true, ExitFailed},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "unknown_outcome", true, ExitUnknown},
	{context.Canceled, http.StatusServiceUnavailable, "unknown_outcome", true, ExitUnknown},
}

// internal is the kind of an error that the table doesn't know.
var internal = kind{nil, http.StatusInternalServerError, "internal", false, ExitFailed}

func kindOf(err error) kind {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k
		}
	}
	return internal
}

// Codes returns every code that an answer of the API can carry.
func Codes() []string {
	codes := []string{internal.code}
	for _, k := range kinds {
		codes = append(codes, k.code)
	}
	return codes
}

// ExitCode returns what a command that ends with err exits with.
func ExitCode(err error) int {
	if err == nil {
		return ExitDone
	}
	return kindOf(err).exit
}

// Hint returns what to do about an error, or "".
func Hint(err error) string {
	if h, ok := errors.AsType[*HintError](err); ok {
		return h.Hint
	}
	if e, ok := errors.AsType[*APIError](err); ok {
		return e.Hint
	}
	return ""
}

// APIError is an error as the API writes it and the client reads it.
type APIError struct {
	Status    int    `json:"-"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	Hint      string `json:"hint"`
	Retryable bool   `json:"retryable"`
}

// Error implements error.
func (e *APIError) Error() string { return e.Message }

// Is reports whether target is the sentinel that e's code stands for, so that
// errors.Is gives the same on both sides of the API.
func (e *APIError) Is(target error) bool {
	for _, k := range kinds {
		if k.code == e.Code {
			return k.err == target
		}
	}
	return false
}

// toAPI describes err for an answer.
func toAPI(err error) *APIError {
	if e, ok := errors.AsType[*APIError](err); ok {
		return e
	}
	k := kindOf(err)
	return &APIError{Status: k.status, Code: k.code, Message: err.Error(), Hint: Hint(err), Retryable: k.retryable}
}
