package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// RestoreOptions say how a backup is restored.
type RestoreOptions struct {
	// ClusterID, if set, must be the id of the cluster that is restored into.
	ClusterID string
	// KeepSessions has the shards go on with the sessions in the backup.
	KeepSessions bool
}

// RestoreResult is the answer to POST /v1/restore.
type RestoreResult struct {
	Generation   uint64    `json:"generation"`   // that has begun
	ClusterID    string    `json:"cluster_id"`   // of the cluster, which stays the same
	FromCluster  string    `json:"from_cluster"` // that the backup is of
	BackupIndex  uint64    `json:"backup_index"`
	Created      time.Time `json:"created"` // when the backup was made
	SessionsKept bool      `json:"sessions_kept"`
}

// pacedBody bounds the time that each piece of a large body may take, in place
// of the whole.
type pacedBody struct {
	q *request
}

func (b pacedBody) Read(p []byte) (int, error) {
	_ = http.NewResponseController(b.q.w).SetReadDeadline(time.Now().Add(streamTimeout)) // a writer without deadlines is a test's
	return b.q.whole.Read(p)
}

// restore replaces the cluster's state by the backup in the body.
func (s *Server) restore(q *request) error {
	keep := false
	if text := q.URL.Query().Get("keep_sessions"); text != "" {
		var err error
		if keep, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("%w: keep_sessions=%s is neither true nor false", ErrBadRequest, text)
		}
	}
	q.unbounded()
	res, err := s.o.Backend.RestoreSnapshot(q.Context(), pacedBody{q}, RestoreOptions{ClusterID: q.URL.Query().Get("cluster"), KeepSessions: keep})
	q.piece()
	if err != nil {
		return err
	}
	return q.json(res)
}

// RestoreSnapshot sends a backup of a size, which replaces the state of the whole
// cluster.
func (c *Client) RestoreSnapshot(ctx context.Context, from io.Reader, size int64, o RestoreOptions) (out RestoreResult, err error) {
	q := url.Values{"keep_sessions": {strconv.FormatBool(o.KeepSessions)}}
	if o.ClusterID != "" {
		q.Set("cluster", o.ClusterID)
	}
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/restore", query: q, stream: from, size: size}, &out)
}
