package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Above manyShards the status shows the worst shards only.
const (
	manyShards  = 64
	worstShards = 10
)

// status reads the status and sets the headers that go with it.
func (q *request) status() (Status, error) {
	st, err := q.s.o.Backend.Status(q.Context())
	if err != nil {
		return st, err
	}
	read := Read{Index: st.AppliedIndex, Stale: st.Stale}
	if st.Leader != nil {
		read.Leader = st.Leader.ID
	}
	q.freshness(read)
	if bot := q.URL.Query().Get("bot"); bot != "" {
		st.Bots = slices.DeleteFunc(st.Bots, func(b Bot) bool { return b.Name != bot })
		st.Shards = slices.DeleteFunc(st.Shards, func(s Shard) bool { return s.Bot != bot })
		if len(st.Bots) == 0 {
			return st, q.unknownBot(bot)
		}
	}
	return st, nil
}

func (s *Server) getStatus(q *request) error {
	st, err := q.status()
	if err != nil {
		return err
	}
	if q.URL.Query().Get("shards") != "all" && len(st.Shards) > manyShards {
		st.Shards = worst(st.Shards, worstShards)
	}
	return q.json(st)
}

// badness orders the states of shards, the worst highest.
func badness(state string) int {
	switch state {
	case "ready":
		return 0
	case "manual":
		return 1
	case "moving":
		return 2
	case "resuming":
		return 3
	case "connecting":
		return 4
	}
	return 5
}

// worst returns the n shards that need attention most, the worst first.
func worst(shards []Shard, n int) []Shard {
	sorted := slices.Clone(shards)
	slices.SortStableFunc(sorted, func(a, b Shard) int {
		return cmp.Or(
			cmp.Compare(badness(b.State), badness(a.State)),
			cmp.Compare(b.Unacked, a.Unacked),
			cmp.Compare(b.LatencyMS, a.LatencyMS),
		)
	})
	return sorted[:min(n, len(sorted))]
}

func (s *Server) getNodes(q *request) error {
	st, err := q.status()
	if err != nil {
		return err
	}
	return q.json(st.Nodes)
}

func (s *Server) getNode(q *request) error {
	st, err := q.status()
	if err != nil {
		return err
	}
	for _, n := range st.Nodes {
		if n.ID == q.PathValue("id") {
			return q.json(n)
		}
	}
	return WithHint(fmt.Errorf("%w: %s", ErrUnknownNode, q.PathValue("id")), "`botnode node list` shows the nodes")
}

func (s *Server) getShards(q *request) error {
	st, err := q.status()
	if err != nil {
		return err
	}
	return q.json(st.Shards)
}

func (s *Server) getShard(q *request) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	st, err := q.status()
	if err != nil {
		return err
	}
	for _, sh := range st.Shards {
		if sh.Bot == bot && strconv.Itoa(sh.ID) == q.PathValue("id") {
			return q.json(sh)
		}
	}
	return WithHint(fmt.Errorf("%w: %s", ErrUnknownShard, q.PathValue("id")), "`botnode shard list` shows the shards")
}

func (s *Server) getBots(q *request) error {
	st, err := q.status()
	if err != nil {
		return err
	}
	return q.json(st.Bots)
}

func (s *Server) getDigest(q *request) error {
	d := s.o.Backend.Digest()
	q.w.Header().Set("Botnode-Index", strconv.FormatUint(d.AppliedIndex, 10))
	return q.json(d)
}

// snapshotWriter begins the answer with the first byte, so that an error
// before it is still answered as one.
type snapshotWriter struct{ q *request }

func (w snapshotWriter) Write(b []byte) (int, error) {
	if !w.q.begun {
		w.q.begun = true
		h := w.q.w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", `attachment; filename="botnode-`+time.Now().UTC().Format("20060102-150405")+`.backup"`)
	}
	w.q.piece()
	return w.q.w.Write(b)
}

// getSnapshot writes a backup.
func (s *Server) getSnapshot(q *request) error {
	return s.o.Backend.SaveSnapshot(q.Context(), snapshotWriter{q})
}

func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	if err := s.o.Backend.Live(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	checks := s.o.Backend.Ready()
	answer := "ok"
	if slices.ContainsFunc(checks, func(c Check) bool { return c.Problem != "" }) {
		answer = "not ready"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if answer != "ok" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if r.URL.Query().Has("verbose") {
		for _, c := range checks {
			if c.Problem == "" {
				_, _ = fmt.Fprintln(w, "[+]", c.Name)
			} else {
				_, _ = fmt.Fprintf(w, "[-] %s: %s\n", c.Name, c.Problem)
			}
		}
	}
	_, _ = fmt.Fprintln(w, answer)
}
