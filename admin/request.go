package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// request is one request of the API on its way through a route.
type request struct {
	*http.Request
	s     *Server
	w     http.ResponseWriter
	begun bool          // the answer's header is out
	whole io.ReadCloser // the body without the usual bound
}

// serveFunc turns a route's function into a handler: it bounds the body, makes
// reads linearizable if asked, and writes the error.
func serveFunc(s *Server, f func(*request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &request{Request: r, s: s, w: w, whole: r.Body}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		err := q.sync()
		q.freshness(s.o.Backend.Freshness())
		if err == nil {
			err = f(q)
		}
		switch {
		case err == nil:
		case q.begun:
			panic(http.ErrAbortHandler) // the only way to tell the client that its answer is cut off
		default:
			writeError(w, err)
		}
	})
}

// sync makes the reads that follow linearizable where ?consistency= says so.
func (q *request) sync() error {
	switch c := q.URL.Query().Get("consistency"); c {
	case "", "local":
		return nil
	case "linearizable":
		return q.s.o.Backend.Sync(q.Context())
	default:
		return fmt.Errorf("%w: consistency=%s is neither local nor linearizable", ErrBadRequest, c)
	}
}

// bot returns the bot that the request is about.
func (q *request) bot() (string, error) {
	names := q.s.o.Backend.BotNames()
	name := q.URL.Query().Get("bot")
	switch {
	case slices.Contains(names, name):
		return name, nil
	case name != "" && len(names) > 0:
		return "", q.unknownBot(name)
	case len(names) == 1:
		return names[0], nil
	case len(names) == 0 && !q.s.o.Backend.CaughtUp():
		return "", errBehind()
	case len(names) == 0:
		return "", WithHint(fmt.Errorf("%w: there is none yet", ErrUnknownBot), "`botnode status` says what the cluster waits for")
	}
	return "", WithHint(fmt.Errorf("%w of %s", ErrBotRequired, strings.Join(names, ", ")), "--bot NAME, or ?bot=NAME")
}

// unknownBot says that there is no bot of a name, if this node can know.
func (q *request) unknownBot(name string) error {
	if !q.s.o.Backend.CaughtUp() {
		return errBehind()
	}
	return WithHint(fmt.Errorf("%w: %s", ErrUnknownBot, name), "the bots are: "+strings.Join(q.s.o.Backend.BotNames(), ", "))
}

// errBehind is the answer where there may be what this node doesn't have yet.
func errBehind() error {
	return WithHint(fmt.Errorf("%w: this node has started and hasn't caught up with its cluster yet", ErrNotReady),
		"ask again, or another node; without a quorum it can't catch up, which `botnode status` shows")
}

// view reads the request's bot and sets the headers that say how fresh it is.
func (q *request) view(f func(*fsm.Bot, *cache.Cache)) error {
	bot, err := q.bot()
	if err != nil {
		return err
	}
	return q.viewBot(bot, f)
}

func (q *request) viewBot(bot string, f func(*fsm.Bot, *cache.Cache)) error {
	read, err := q.s.o.Backend.View(bot, f)
	if errors.Is(err, ErrUnknownBot) {
		return q.unknownBot(bot)
	}
	if err == nil && !q.begun {
		q.freshness(read)
	}
	return err
}

func (q *request) freshness(read Read) {
	h := q.w.Header()
	h.Set("Botnode-Index", strconv.FormatUint(read.Index, 10))
	h.Set("Botnode-Stale", strconv.FormatBool(read.Stale))
	h.Set("Botnode-Leader", read.Leader)
}

// snowflake returns an id of the path.
func (q *request) snowflake(name string) (discord.Snowflake, error) {
	id, err := discord.ParseSnowflake(q.PathValue(name))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	return id, nil
}

// number returns a number of the query, 0 if it isn't there.
func (q *request) number(name string) (uint64, error) {
	text := q.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s=%s is not a number", ErrBadRequest, name, text)
	}
	return n, nil
}

// body reads a JSON object into v; an empty body leaves it alone.
func (q *request) body(v any) error {
	b, err := io.ReadAll(q.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	if len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: the body is not the JSON that is expected: %w", ErrBadRequest, err)
	}
	return nil
}

// ifMatch returns the version in If-Match, nil if there is none.
func (q *request) ifMatch() (*uint64, error) {
	text := q.Header.Get("If-Match")
	if text == "" || text == "*" {
		return nil, nil //nolint:nilnil // no condition
	}
	v, err := strconv.ParseUint(strings.Trim(text, `"`), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: If-Match %q is not a version", ErrBadRequest, text)
	}
	return &v, nil
}

// json answers with v.
func (q *request) json(v any) error {
	writeJSON(q.w, http.StatusOK, v)
	return nil
}

// done answers a command that has no other result.
func (q *request) done(err error) error {
	if err != nil {
		return err
	}
	return q.json(map[string]bool{"ok": true})
}

// piece bounds the time that the next piece of a stream may take.
func (q *request) piece() {
	// A writer without deadlines is a test's; there is nothing to bound then.
	_ = http.NewResponseController(q.w).SetWriteDeadline(time.Now().Add(streamTimeout))
}

// unbounded lifts the deadline of the answer, until the next piece.
func (q *request) unbounded() {
	_ = http.NewResponseController(q.w).SetWriteDeadline(time.Time{})
	_ = http.NewResponseController(q.w).SetReadDeadline(time.Time{})
}

func (q *request) flush() error {
	return http.NewResponseController(q.w).Flush()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client is gone if this fails
}

func writeError(w http.ResponseWriter, err error) {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		err = WithHint(err, fmt.Sprintf("a body has at most %d bytes", tooLarge.Limit))
	}
	e := toAPI(err)
	if e.Retryable {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, e.Status, map[string]*APIError{"error": e})
}
