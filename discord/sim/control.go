package sim

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Info describes a running server.
type Info struct {
	API      string         `json:"api"`
	Gateway  string         `json:"gateway"`
	Token    string         `json:"token"`
	Shards   int            `json:"shards"`
	Guilds   []ID           `json:"guilds"`
	Sessions []SessionState `json:"sessions"`
}

// SayRequest is POST /_sim/say: a message, and how long to wait for an answer.
type SayRequest struct {
	Say
	WaitMS int `json:"wait_ms,omitempty"`
}

// SayResponse is its answer.
type SayResponse struct {
	ID        ID      `json:"id"`
	Channel   ID      `json:"channel"`
	Delivered int     `json:"delivered"`
	Answer    *Posted `json:"answer,omitempty"`
	TookMS    float64 `json:"took_ms,omitempty"`
}

// InteractRequest is POST /_sim/interact.
type InteractRequest struct {
	Interact
	WaitMS int `json:"wait_ms,omitempty"`
}

// LoadRequest is POST /_sim/load; Wait answers when the load has ended.
type LoadRequest struct {
	Load
	Wait bool `json:"wait,omitempty"`
}

// MutateRequest is POST /_sim/mutate.
type MutateRequest struct {
	Kind string `json:"kind"`
	N    int    `json:"n,omitempty"`
}

// FullLedger is GET /_sim/ledger?full=1.
type FullLedger struct {
	Summary    Summary         `json:"summary"`
	Identifies []Identify      `json:"identify"`
	Resumes    []Resume        `json:"resume"`
	Posted     []Posted        `json:"posted"`
	Faults     []FaultRecord   `json:"faults"`
	Sessions   []SessionRecord `json:"sessions"`
}

// controlRoutes is the control API, by method and path below /_sim/.
var controlRoutes = map[string]func(*Server, http.ResponseWriter, *http.Request) (any, error){
	"GET info":      func(s *Server, _ http.ResponseWriter, _ *http.Request) (any, error) { return s.Info(), nil },
	"GET ledger":    controlLedger,
	"GET timeline":  controlTimeline,
	"GET requests":  func(s *Server, _ http.ResponseWriter, _ *http.Request) (any, error) { return s.ledger.Requests(), nil },
	"POST say":      controlSay,
	"POST interact": controlInteract,
	"POST load":     controlLoad,
	"POST stop":     controlStop,
	"POST fault":    controlFault,
	"POST mutate":   controlMutate,
	"POST guild":    controlGuild,
	"POST token":    controlToken,
}

// serveControl is the control API. It has no authentication: the server is for
// loopback, and everything in it is make-believe.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/_sim/")
	var out any
	var err error
	f := controlRoutes[r.Method+" "+name]
	id, isTruth := strings.CutPrefix(name, "truth/")
	switch {
	case f != nil:
		out, err = f(s, w, r)
	case isTruth && r.Method == http.MethodGet:
		t, found := s.Truth(ParseID(id))
		if out = t; !found {
			err = ErrUnknown
		}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, context.DeadlineExceeded) {
			status = http.StatusGatewayTimeout
		}
		w.WriteHeader(status)
		out = obj{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// Info describes the server and its live sessions.
func (s *Server) Info() Info {
	return Info{
		API: s.APIURL(), Gateway: s.GatewayURL(), Token: s.Token(), Shards: s.opts.Shards, Guilds: s.GuildIDs(),
		Sessions: s.LiveSessions(),
	}
}

func readJSON(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func controlLedger(s *Server, _ http.ResponseWriter, r *http.Request) (any, error) {
	if r.URL.Query().Get("full") == "" {
		return s.ledger.Summary(), nil
	}
	return FullLedger{
		s.ledger.Summary(), s.ledger.Identifies(), s.ledger.Resumes(), s.ledger.Posted(), s.ledger.Faults(), s.ledger.Sessions(),
	}, nil
}

func controlTimeline(s *Server, _ http.ResponseWriter, r *http.Request) (any, error) {
	ms, err := strconv.Atoi(r.URL.Query().Get("bucket_ms"))
	if err != nil {
		ms = 100
	}
	return s.ledger.Timeline(time.Duration(ms) * time.Millisecond), nil
}

func controlSay(s *Server, _ http.ResponseWriter, r *http.Request) (any, error) {
	var q SayRequest
	if err := readJSON(r, &q); err != nil {
		return nil, err
	}
	start := time.Now()
	said, err := s.Say(q.Say)
	if err != nil {
		return nil, err
	}
	out := SayResponse{ID: said.ID, Channel: said.Channel, Delivered: said.Delivered}
	return s.waited(r, q.WaitMS, out, start, said.Answer)
}

func controlInteract(s *Server, _ http.ResponseWriter, r *http.Request) (any, error) {
	var q InteractRequest
	if err := readJSON(r, &q); err != nil {
		return nil, err
	}
	start := time.Now()
	x, err := s.Interact(q.Interact)
	if err != nil {
		return nil, err
	}
	return s.waited(r, q.WaitMS, SayResponse{ID: x.ID, Delivered: x.Delivered}, start, x.Answer)
}

// waited fills in the answer, if one is waited for.
func (s *Server) waited(r *http.Request, ms int, out SayResponse, start time.Time,
	answer func(context.Context) (Posted, error),
) (any, error) {
	if ms <= 0 {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(ms)*time.Millisecond)
	defer cancel()
	stop := context.AfterFunc(s.closing(), cancel)
	defer stop()
	p, err := answer(ctx)
	if err != nil {
		return nil, err
	}
	out.Answer, out.TookMS = &p, millis(time.Since(start))
	return out, nil
}

func controlLoad(s *Server, _ http.ResponseWriter, r *http.Request) (any, error) {
	var q LoadRequest
	if err := readJSON(r, &q); err != nil {
		return nil, err
	}
	run := s.StartLoad(q.Load)
	s.loads.mu.Lock()
	s.loads.list = append(s.loads.list, run)
	s.loads.mu.Unlock()
	if q.Wait {
		if err := run.Wait(); err != nil {
			return nil, err
		}
	}
	return s.ledger.Summary(), nil
}

// controlStop stops all load that was started here.
func controlStop(s *Server, _ http.ResponseWriter, _ *http.Request) (any, error) {
	s.loads.mu.Lock()
	list := s.loads.list
	s.loads.list = nil
	s.loads.mu.Unlock()
	for _, run := range list {
		if err := run.Stop(); err != nil {
			return nil, err
		}
	}
	return s.ledger.Summary(), nil
}

func controlFault(s *Server, _ http.ResponseWriter, r *http.Request) (any, error) {
	var f Fault
	if err := readJSON(r, &f); err != nil {
		return nil, err
	}
	return obj{}, s.Inject(f)
}

func controlMutate(s *Server, _ http.ResponseWriter, r *http.Request) (any, error) {
	var m MutateRequest
	if err := readJSON(r, &m); err != nil {
		return nil, err
	}
	return obj{}, s.Mutate(m.Kind, max(1, m.N))
}

// controlToken replaces the bot's token.
func controlToken(s *Server, _ http.ResponseWriter, r *http.Request) (any, error) {
	var q struct {
		Token string `json:"token"`
	}
	if err := readJSON(r, &q); err != nil {
		return nil, err
	}
	if q.Token == "" {
		return nil, errors.New("a token is wanted")
	}
	s.ReplaceToken(q.Token)
	return obj{}, nil
}

// controlGuild adds a guild of a size, or removes one.
func controlGuild(s *Server, _ http.ResponseWriter, r *http.Request) (any, error) {
	var q struct {
		Add    int `json:"add"`
		Remove ID  `json:"remove"`
	}
	if err := readJSON(r, &q); err != nil {
		return nil, err
	}
	if q.Remove != 0 {
		return obj{}, s.RemoveGuild(q.Remove)
	}
	return obj{"id": s.AddGuild(q.Add)}, nil
}
