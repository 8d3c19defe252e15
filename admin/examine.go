package admin

import (
	"context"
	"time"
)

// Examination is what one node found out about itself for `botnode doctor`.
type Examination struct {
	ID string `json:"id"`
	// Error says why the node could not be asked; the rest is unset then.
	Error string `json:"error,omitempty"`
	// ClockAheadMS is how far the node's clock is ahead of that of the node which
	// asked, and ClockWithinMS how exact that is: half of the question's way.
	ClockAheadMS  float64 `json:"clock_ahead_ms"`
	ClockWithinMS float64 `json:"clock_within_ms"`
	// SyncMS is how long its disk takes to write and sync 4 KiB in the data
	// directory, the median of nine; -1 without a directory.
	SyncMS float64 `json:"sync_ms"`
	// FreeBytes is what is free on that disk, and FreePercent the same; -1 if unknown.
	FreeBytes   int64   `json:"free_bytes"`
	FreePercent float64 `json:"free_percent"`
	// Linked and Gossips are the other nodes that it reaches over TCP and UDP.
	Linked  []string `json:"linked"`
	Gossips []string `json:"gossips"`
	// Lag is how many committed entries, as far as it knows, it hasn't applied.
	Lag uint64 `json:"lag"`
	// CertificateEnds is zero in a cluster without TLS.
	CertificateEnds time.Time `json:"certificate_ends"`
}

func (s *Server) getExaminations(q *request) error {
	return q.json(s.o.Backend.Examine(q.Context()))
}

// Examine has all nodes examine themselves. It writes to their disks.
func (c *Client) Examine(ctx context.Context) (out []Examination, err error) {
	return out, c.get(ctx, "/examine", nil, &out)
}
