package sim

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Fault is something that goes wrong on command.
type Fault struct {
	// Kind is one of the names in the table of Inject.
	Kind string `json:"kind"`
	// Shard limits gateway faults to one shard; nil is all.
	Shard *int `json:"shard,omitempty"`
	// Code is the close code of "close".
	Code int `json:"code,omitempty"`
	// Resumable is the d of "invalid" (op 9).
	Resumable bool `json:"resumable,omitempty"`
	// MS is a length in milliseconds: of a delay, or of the time a fault lasts.
	MS int `json:"ms,omitempty"`
	// Count is how many times a counted fault happens; 0 is once.
	Count int `json:"count,omitempty"`
	// On switches a lasting fault on or off.
	On bool `json:"on,omitempty"`
	// Guild is the guild of "guild_outage"; 0 is all.
	Guild ID `json:"guild,omitempty"`
	// Status is the status of "rest_error"; default 502.
	Status int `json:"status,omitempty"`
	// Scope is the scope of "rest_429": user, global or shared.
	Scope string `json:"scope,omitempty"`
	// Bucket limits REST faults to one bucket, e.g. "messages.create".
	Bucket string `json:"bucket,omitempty"`
	// After makes a REST error come after the request has had its effect.
	After bool `json:"after,omitempty"`
}

// ErrFault is returned by Inject for a fault it doesn't know.
var ErrFault = errors.New("sim: unknown fault")

// faults is the state of the lasting and the counted faults.
type faults struct {
	mu        sync.Mutex
	outage    time.Time // no gateway and no REST before it
	noAck     bool
	deafened  bool
	delay     time.Duration
	restDelay time.Duration
	refuse    int
	greet     int
	rest      []restFault
}

type restFault struct {
	Fault
	left int
}

// Inject makes a fault happen:
//
//	cut              drop TCP, without a close frame
//	close            close with Code
//	reconnect        send op 7
//	reconnect_first  greet the next Count connections with op 7 instead of HELLO
//	invalid          send op 9 with Resumable; false ends the session
//	heartbeat        ask for a heartbeat with op 1
//	garbage          send a frame that isn't JSON (nor a compressed stream)
//	silence          (On) ignore everything that clients send
//	no_acks          (On) don't acknowledge heartbeats
//	delay            write to gateways MS later
//	outage           no gateway and no REST for MS; connections are cut
//	guild_outage     (On) the guild becomes unavailable, or is back
//	refuse_resume    answer the next Count RESUMEs with op 9 false
//	expire           end the sessions, without a word
//	rest_error       answer the next Count requests with Status
//	rest_cut         drop the connection of the next Count requests
//	rest_429         answer the next Count requests with a 429 of Scope
//	rest_delay       answer requests MS later
//	clear            end all lasting faults
func (s *Server) Inject(f Fault) error {
	if f.Count == 0 {
		f.Count = 1
	}
	if s.gatewayFault(f) || s.faults.set(f) {
		if f.Kind == "outage" {
			s.eachConn(nil, func(c *conn) { c.cut() })
		}
		s.ledger.fault(f)
		return nil
	}
	return fmt.Errorf("%w: %q", ErrFault, f.Kind)
}

// gatewayFault does the faults that happen at once.
func (s *Server) gatewayFault(f Fault) bool {
	switch f.Kind {
	case "cut":
		s.eachConn(f.Shard, func(c *conn) { c.cut() })
	case "close":
		s.eachConn(f.Shard, func(c *conn) { c.fail(f.Code) })
	case "reconnect":
		s.eachConn(f.Shard, func(c *conn) { c.op(opReconnect, "null") })
	case "heartbeat":
		s.eachConn(f.Shard, func(c *conn) { c.op(opHeartbeat, "null") })
	case "invalid":
		s.eachConn(f.Shard, func(c *conn) {
			if old := c.sess.Swap(nil); old != nil && !f.Resumable {
				s.hub.end(old)
			} else if old != nil {
				old.detach(c)
			}
			c.op(opInvalid, fmt.Sprint(f.Resumable))
		})
	case "garbage":
		s.eachConn(f.Shard, func(c *conn) {
			c.enqueue(out{frame: []byte("\x00\x01{\"op\":0,\"d\":"), binary: true})
		})
	case "expire":
		for _, sess := range s.hub.live(shardOf(f.Shard)) {
			s.hub.end(sess)
		}
	case "guild_outage":
		s.guildOutage(f.Guild, f.On)
	default:
		return false
	}
	return true
}

func shardOf(p *int) int {
	if p == nil {
		return -1
	}
	return *p
}

// eachConn calls f for the connections of a shard, or all.
func (s *Server) eachConn(shard *int, f func(*conn)) {
	s.hub.mu.Lock()
	conns := s.hub.connList()
	s.hub.mu.Unlock()
	for _, c := range conns {
		sess := c.sess.Load()
		if shard == nil || sess != nil && sess.shard[0] == int64(*shard) {
			f(c)
		}
	}
}

// guildOutage takes guilds away or brings them back.
func (s *Server) guildOutage(id ID, on bool) {
	w := s.world
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.guilds {
		if w.byID[g.id] == nil || id != 0 && g.id != id || g.unavailable == on {
			continue
		}
		g.unavailable = on
		if on {
			s.emit(g.id, "GUILD_DELETE", encode(obj{"id": g.id, "unavailable": true}))
		}
		s.setPending(g, on)
	}
}

// setPending closes the sessions to a guild's events, or opens them with a GUILD_CREATE.
func (s *Server) setPending(g *guild, on bool) {
	for _, sess := range s.hub.live(-1) {
		if !sess.owns(g.id) {
			continue
		}
		if !on {
			sess.available(g.id, g.create(sess.view()), false)
			continue
		}
		sess.mu.Lock()
		sess.pending[g.id] = true
		sess.mu.Unlock()
	}
}

// set stores the lasting and the counted faults.
func (f *faults) set(x Fault) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := time.Duration(x.MS) * time.Millisecond
	switch x.Kind {
	case "no_acks":
		f.noAck = x.On
	case "silence":
		f.deafened = x.On
	case "delay":
		f.delay = d
	case "rest_delay":
		f.restDelay = d
	case "outage":
		f.outage = time.Now().Add(d)
	case "refuse_resume":
		f.refuse = x.Count
	case "reconnect_first":
		f.greet = x.Count
	case "rest_error", "rest_cut", "rest_429":
		f.rest = append(f.rest, restFault{x, x.Count})
	case "clear":
		f.noAck, f.deafened, f.delay, f.restDelay = false, false, 0, 0
		f.refuse, f.greet, f.rest, f.outage = 0, 0, nil, time.Time{}
	default:
		return false
	}
	return true
}

func (f *faults) inOutage() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.outage)
}

func (f *faults) mute() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.noAck }

func (f *faults) deaf() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.deafened }

func (f *faults) writeDelay() time.Duration { f.mu.Lock(); defer f.mu.Unlock(); return f.delay }

func (f *faults) answerDelay() time.Duration { f.mu.Lock(); defer f.mu.Unlock(); return f.restDelay }

// refuseResume takes one of the refusals that were asked for.
func (f *faults) refuseResume() bool { return f.countdown(&f.refuse) }

// noHello takes one of the op 7s that come instead of HELLO.
func (f *faults) noHello() bool { return f.countdown(&f.greet) }

func (f *faults) countdown(n *int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *n <= 0 {
		return false
	}
	*n--
	return true
}

// forRequest takes the REST fault that hits a request of a bucket, if any.
func (f *faults) forRequest(bucket string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rest {
		x := &f.rest[i]
		if x.Bucket != "" && !strings.EqualFold(x.Bucket, bucket) {
			continue
		}
		x.left--
		hit := x.Fault
		if x.left <= 0 {
			f.rest = append(f.rest[:i], f.rest[i+1:]...)
		}
		return hit, true
	}
	return Fault{}, false
}
