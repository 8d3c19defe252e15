package rest

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// The messages that the limiters of a cluster send each other. Numbers never
// change. All integers are varints, durations are microseconds, strings and lists
// have their length before them. No token is ever in one: Request holds hashes.
const (
	msgAcquire byte = 1 // stamp id age patience request      -> granted stamp | refused wait scope | moved stamp
	msgTell    byte = 2 // sequence item...                   -> granted
	msgLane    byte = 3 // stamp sequence identity held want  -> granted held target | moved stamp
)

// The first byte of an answer.
const (
	ansGranted byte = 0
	ansRefused byte = 1
	ansMoved   byte = 2 // the node that was asked doesn't keep this, as it sees the view of the stamp
)

// errMessage is a message that can't be read.
var errMessage = errors.New("rest: unreadable message of another node's limiter: is it of another version?")

// maxWireString bounds routes and resources: paths may be longer, but none of Discord's is.
const maxWireString = 4096

// acquireMsg asks the home of a bucket for a place in it.
type acquireMsg struct {
	view     stamp
	id       uint64
	age      time.Duration // how long the request has waited
	patience time.Duration // how long it will wait on; 0 for ever
	req      Request
}

// acquireAns is the answer: granted, refused, or to ask elsewhere.
type acquireAns struct {
	code  byte
	wait  time.Duration // refused: after so long
	scope Scope         // refused: this limit
	view  stamp         // granted, moved: as seen there
}

// laneMsg says which places of a lane a node has and wants.
type laneMsg struct {
	view       stamp
	seq        uint64 // rises with each question of one process
	identity   Identity
	held, want int
}

// laneAns says which it has from now on.
type laneAns struct {
	code   byte
	held   int // granted: what it may use
	target int // granted: what it should go down to
	view   stamp
}

// reader takes a message apart. After an error it returns zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() { r.b, r.err = nil, errMessage }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number that fits an int32, which all counts do.
func (r *reader) count() int {
	v := r.uint()
	if v > math.MaxInt32 {
		r.fail()
		return 0
	}
	return int(v)
}

// wait reads a duration of at most ten days: no limit lasts longer.
func (r *reader) wait() time.Duration {
	v := r.uint()
	if v > 10*maxSeconds*1e6 {
		r.fail()
		return 0
	}
	return time.Duration(v) * time.Microsecond
}

func (r *reader) str() string {
	n := r.uint()
	if n > maxWireString || n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) identity() Identity {
	i := Identity(r.byte())
	if i >= identities {
		r.fail()
		return 0
	}
	return i
}

// list reads a list with the function for one element.
func (r *reader) list(one func()) {
	for n := r.count(); n > 0 && r.err == nil; n-- {
		one()
	}
}

// end returns the error of the whole message, which must be read to its end.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail()
	}
	return r.err
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendCount(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(max(n, 0))) }

func appendWait(b []byte, d time.Duration) []byte {
	d = max(d, 0) + time.Microsecond - 1 // rounded up: a wait must not become shorter on the way
	return binary.AppendUvarint(b, uint64(min(d, 10*maxSeconds*time.Second)/time.Microsecond))
}

func appendMember(b []byte, m Member) []byte {
	return binary.AppendUvarint(appendString(b, m.ID), m.Inc)
}

func appendStamp(b []byte, s stamp) []byte {
	return binary.BigEndian.AppendUint64(binary.AppendUvarint(b, s.number), s.digest)
}

func (r *reader) stamp() stamp {
	s := stamp{number: r.uint()}
	if len(r.b) < 8 {
		r.fail()
		return stamp{}
	}
	s.digest = binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return s
}

func appendRequest(b []byte, r Request) []byte {
	return appendString(appendString(append(b, byte(r.Identity)), r.Route), r.Major)
}

func (r *reader) request() Request {
	return Request{Identity: r.identity(), Route: r.str(), Major: r.str()}
}

func (m acquireMsg) append(b []byte) []byte {
	b = binary.AppendUvarint(appendStamp(append(b, msgAcquire), m.view), m.id)
	return appendRequest(appendWait(appendWait(b, m.age), m.patience), m.req)
}

func (r *reader) acquire() acquireMsg {
	return acquireMsg{view: r.stamp(), id: r.uint(), age: r.wait(), patience: r.wait(), req: r.request()}
}

func (a acquireAns) append(b []byte) []byte {
	b = append(b, a.code)
	switch a.code {
	case ansRefused:
		b = appendString(appendWait(b, a.wait), string(a.scope))
	case ansGranted, ansMoved:
		b = appendStamp(b, a.view)
	}
	return b
}

func decodeAcquireAns(b []byte) (acquireAns, error) {
	r := &reader{b: b}
	a := acquireAns{code: r.byte()}
	switch a.code {
	case ansRefused:
		a.wait, a.scope = r.wait(), Scope(r.str())
	case ansGranted, ansMoved:
		a.view = r.stamp()
	default:
		r.fail()
	}
	return a, r.end()
}

func (m laneMsg) append(b []byte) []byte {
	b = binary.AppendUvarint(appendStamp(append(b, msgLane), m.view), m.seq)
	return appendCount(appendCount(append(b, byte(m.identity)), m.held), m.want)
}

func (r *reader) lane() laneMsg {
	return laneMsg{view: r.stamp(), seq: r.uint(), identity: r.identity(), held: r.count(), want: r.count()}
}

func (a laneAns) append(b []byte) []byte {
	b = append(b, a.code)
	switch a.code {
	case ansGranted:
		b = appendCount(appendCount(b, a.held), a.target)
	case ansMoved:
		b = appendStamp(b, a.view)
	}
	return b
}

func decodeLaneAns(b []byte) (laneAns, error) {
	r := &reader{b: b}
	a := laneAns{code: r.byte()}
	switch a.code {
	case ansGranted:
		a.held, a.target = r.count(), r.count()
	case ansMoved:
		a.view = r.stamp()
	default:
		r.fail()
	}
	return a, r.end()
}
