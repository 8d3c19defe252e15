package transport

import (
	"errors"
	"fmt"
)

var (
	// ErrUnreachable is returned by Call when nothing of the request was sent.
	// The call certainly had no effect.
	ErrUnreachable = errors.New("peer unreachable, nothing was sent")
	// ErrUnknownOutcome is returned by Call when the request was, or may have
	// been, sent and no answer came. The call may have had its effect.
	ErrUnknownOutcome = errors.New("no answer from peer, outcome unknown")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("transport closed")
	// ErrPortInUse is returned by Listen when another process holds the port.
	ErrPortInUse = errors.New("port is already in use")
	// ErrInsecureBind is returned by Listen for an address beyond loopback when
	// there is neither TLS nor an explicit permission to do without.
	ErrInsecureBind = errors.New("refusing to listen beyond loopback without TLS")
	// ErrTooLarge is returned by Call for a message above MaxMessage.
	ErrTooLarge = errors.New("message too large")
)

// The reasons for which a peer is refused during the handshake. They are
// wrapped by RefusedError.
var (
	// ErrNotPeer means that whatever is at the other end does not speak this
	// protocol at all.
	ErrNotPeer = errors.New("not a botnode cluster port")
	// ErrWrongVersion means that the peer speaks another protocol version.
	ErrWrongVersion = errors.New("peer speaks another cluster protocol version")
	// ErrWrongCluster means that the peer belongs to another cluster.
	ErrWrongCluster = errors.New("peer belongs to another cluster")
	// ErrDuplicateID means that two live processes use one node id.
	ErrDuplicateID = errors.New("node id is already in use by another process")
	// ErrWrongPeer means that another node than the expected one answered.
	ErrWrongPeer = errors.New("another node answers at this address")
	// ErrUntrusted means that a certificate is missing, isn't of this cluster, is
	// of another node, or was revoked.
	ErrUntrusted = errors.New("the certificate isn't believed")
	// ErrStaleIncarnation means that a newer incarnation of the node is known.
	ErrStaleIncarnation = errors.New("a newer incarnation of this node is known")
	// ErrRefused is any other refusal.
	ErrRefused = errors.New("peer refused the connection")
)

// RefusedError tells who refused whom in a handshake, and why.
type RefusedError struct {
	Reason  error  // one of the sentinels above
	Addr    string // the address that was dialled, or that dialled us
	Message string // what the refusing side said, with the facts
}

// Error implements error.
func (e *RefusedError) Error() string {
	return e.Addr + ": " + e.text()
}

// text is the reason without the address.
func (e *RefusedError) text() string {
	if e.Message == "" {
		return e.Reason.Error()
	}
	return fmt.Sprintf("%v: %s", e.Reason, e.Message)
}

// Unwrap returns the sentinel.
func (e *RefusedError) Unwrap() error { return e.Reason }

// RemoteError is an error that the peer's handler returned. A handler that
// returns a *RemoteError chooses the code; any other error travels with the
// code CodeFailed and its text.
type RemoteError struct {
	Code    string // stable, for programs, at most 255 bytes
	Message string // for people
}

// Codes that the transport itself answers with.
const (
	CodeFailed        = "failed"         // the handler returned a plain error
	CodeUnknownMethod = "unknown_method" // no handler is registered at the peer
	CodeTooLarge      = "too_large"      // the handler's answer exceeds MaxMessage
)

// Error implements error.
func (e *RemoteError) Error() string {
	if e.Message == "" {
		return "remote: " + e.Code
	}
	return "remote: " + e.Code + ": " + e.Message
}

// appendRemoteError encodes err as the payload of an error frame.
func appendRemoteError(b []byte, err error) []byte {
	var re *RemoteError
	if !errors.As(err, &re) {
		re = &RemoteError{Code: CodeFailed, Message: err.Error()}
	}
	code := clip(re.Code, 255)
	b = append(b, byte(len(code)))
	b = append(b, code...)
	return append(b, clip(re.Message, maxErrorText)...)
}

// decodeRemoteError is the inverse of appendRemoteError.
func decodeRemoteError(p []byte) *RemoteError {
	if len(p) == 0 || len(p) < 1+int(p[0]) {
		return &RemoteError{Code: CodeFailed, Message: "malformed error from peer"}
	}
	n := 1 + int(p[0])
	return &RemoteError{Code: string(p[1:n]), Message: string(p[n:])}
}

// clip bounds s to n bytes.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
