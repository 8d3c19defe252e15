package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/fsm"
)

// commandTimeout bounds a command; joinTimeout a join, which may have to copy
// the state first.
const (
	commandTimeout = 45 * time.Second
	joinTimeout    = 10 * time.Minute
)

// command bounds a command, and lets it go on when its client has gone: half
// of it may have happened.
func (q *request) command() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(q.Context()), commandTimeout)
}

// target is the body of the commands that name a node. Release stands for none:
// the cluster places the shards again.
type target struct {
	To      string `json:"to"`
	Release bool   `json:"release,omitempty"`
}

func (q *request) target(required bool) (string, error) {
	var t target
	if err := q.body(&t); err != nil {
		return "", err
	}
	if t.To == "" && required && !t.Release {
		return "", fmt.Errorf(`%w: the body must name a node: {"to":"ID"}`, ErrBadRequest)
	}
	if t.Release && (t.To != "" || !required) {
		return "", fmt.Errorf(`%w: "release" has no place here`, ErrBadRequest)
	}
	return t.To, nil
}

func (s *Server) join(q *request) error {
	var b struct {
		Peer  string `json:"peer"`
		Token string `json:"token"`
	}
	if err := q.body(&b); err != nil {
		return err
	}
	if b.Peer == "" {
		return fmt.Errorf(`%w: the body must name a peer: {"peer":"host:port"}`, ErrBadRequest)
	}
	ctx, cancel := context.WithTimeout(q.Context(), joinTimeout)
	defer cancel()
	stop := context.AfterFunc(s.streams, cancel)
	defer stop()
	q.unbounded()
	if !strings.Contains(q.Header.Get("Accept"), "application/x-ndjson") {
		res, err := s.o.Backend.Join(ctx, b.Peer, b.Token, nil)
		if err != nil {
			return err
		}
		return q.json(res)
	}
	return q.joinLines(ctx, b.Peer, b.Token)
}

// joinLine is a line of the answer to a join that shows its progress. One
// field is set.
type joinLine struct {
	Stage  string      `json:"stage,omitempty"`
	Result *JoinResult `json:"result,omitempty"`
	Error  *APIError   `json:"error,omitempty"`
}

// joinLines answers with a line a stage. The last has the result or the error.
func (q *request) joinLines(ctx context.Context, peer, token string) error {
	line := func(l joinLine) {
		if !q.begun {
			q.begun = true
			q.w.Header().Set("Content-Type", "application/x-ndjson")
		}
		b, _ := json.Marshal(l) // plain fields
		q.piece()
		_, _ = q.w.Write(append(b, '\n')) // a client that has gone ends ctx
		_ = q.flush()
		q.unbounded()
	}
	res, err := q.s.o.Backend.Join(ctx, peer, token, func(stage string) { line(joinLine{Stage: stage}) })
	switch {
	case err != nil && !q.begun:
		return err
	case err != nil:
		line(joinLine{Error: toAPI(err)})
	default:
		line(joinLine{Result: &res})
	}
	return nil
}

func (s *Server) leave(q *request) error {
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.Leave(ctx))
}

func (s *Server) drain(on bool) func(*request) error {
	return func(q *request) error {
		ctx, cancel := q.command()
		defer cancel()
		return q.done(s.o.Backend.Drain(ctx, q.PathValue("id"), on))
	}
}

func (s *Server) setVoter(voter bool) func(*request) error {
	return func(q *request) error {
		ctx, cancel := q.command()
		defer cancel()
		return q.done(s.o.Backend.SetVoter(ctx, q.PathValue("id"), voter))
	}
}

func (s *Server) removeNode(q *request) error {
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.RemoveNode(ctx, q.PathValue("id"), q.URL.Query().Get("force") == "true"))
}

func (s *Server) transferLeader(q *request) error {
	to, err := q.target(false)
	if err != nil {
		return err
	}
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.TransferLeadership(ctx, to))
}

func (s *Server) moveShard(q *request) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	index, err := strconv.Atoi(q.PathValue("id"))
	if err != nil {
		return fmt.Errorf("%w: shard %q is not a number", ErrBadRequest, q.PathValue("id"))
	}
	to, err := q.target(true)
	if err != nil {
		return err
	}
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.MoveShard(ctx, bot, index, to))
}

func (s *Server) takeover(q *request) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	to, err := q.target(true)
	if err != nil {
		return err
	}
	ctx, cancel := q.command()
	defer cancel()
	return q.done(s.o.Backend.Takeover(ctx, bot, to))
}

func (s *Server) getConfig(q *request) error {
	var out BotConfig
	var err error
	verr := q.view(func(b *fsm.Bot, _ *cache.Cache) {
		out.Bot, out.Revision = b.Name, b.ConfigRev
		out.Config, err = json.Marshal(b.Config)
	})
	if err = errors.Join(verr, err); err != nil {
		return err
	}
	q.w.Header().Set("ETag", `"`+strconv.FormatUint(out.Revision, 10)+`"`)
	return q.json(out)
}

// putConfig replaces a bot's configuration. Its revision comes with the body
// or in If-Match: without one, two operators could undo each other's changes.
func (s *Server) putConfig(q *request) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	var b BotConfig
	if err := q.body(&b); err != nil {
		return err
	}
	match, err := q.ifMatch()
	if err != nil {
		return err
	}
	if match != nil {
		b.Revision = *match
	}
	if b.Revision == 0 || len(b.Config) == 0 {
		return WithHint(fmt.Errorf("%w: a revision and a configuration are needed", ErrBadRequest), "GET /v1/config shows both")
	}
	ctx, cancel := q.command()
	defer cancel()
	rev, err := s.o.Backend.Configure(ctx, bot, b.Revision, b.Config)
	if err != nil {
		return err
	}
	return q.json(map[string]any{"bot": bot, "revision": rev})
}

func (s *Server) listDeadLetters(q *request) error {
	out := []DeadLetter{}
	err := q.view(func(b *fsm.Bot, _ *cache.Cache) {
		for _, d := range b.DeadLetters() {
			out = append(out, DeadLetter{
				Pos: d.Entry.Pos, Bot: b.Name, Shard: int(d.Entry.Shard.Index), Type: d.Entry.Type,
				Handlers: d.Entry.Handlers, Attempts: int(d.Entry.Attempts), Error: d.Err, AtMS: d.Entry.At,
			})
		}
	})
	if err != nil {
		return err
	}
	return q.json(out)
}

func (s *Server) retryDeadLetter(q *request) error { return q.deadLetter(true) }

func (s *Server) dropDeadLetter(q *request) error { return q.deadLetter(false) }

func (q *request) deadLetter(retry bool) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	pos, err := strconv.ParseUint(q.PathValue("pos"), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: position %q is not a number", ErrBadRequest, q.PathValue("pos"))
	}
	ctx, cancel := q.command()
	defer cancel()
	return q.done(q.s.o.Backend.DeadLetter(ctx, bot, pos, retry))
}
