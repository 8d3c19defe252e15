package rest

import (
	"encoding/binary"
	"time"
)

// What one node tells another without an answer. Numbers never change.
const (
	itemReport  byte = 1 // a request of the teller's has ended
	itemCancel  byte = 2 // the teller doesn't want what it asked for, or never used it
	itemInform  byte = 3 // what the teller knows of what has moved to the other
	itemPoke    byte = 4 // the home of a lane asks what the other has and wants
	itemBlocked byte = 5 // a 429 about more than a bucket
	itemInvalid byte = 6 // invalid requests of the last ten minutes
)

// item is one of them; kind says which fields count.
type item struct {
	kind     byte
	id       uint64 // report, cancel
	req      Request
	answer   Answer
	inform   *inform
	identity Identity      // poke, blocked
	edge     bool          // blocked: the address, whoever asks
	wait     time.Duration // blocked: for so long
	count    int           // invalid
}

// inform is what a node tells the others at a change of the view.
type inform struct {
	view    stamp
	death   time.Duration // since it saw a process leave; at most forgotten
	invalid int
	lanes   []laneHeld
	buckets []bucketKnown
	flights []flight
	losses  []loss
	asks    []uint64 // requests that wait for the other's answer, or have it on its way
	newest  uint64   // the newest request of all: later ones are not spoken of
	again   bool     // the view has not changed, but the other says that it had
}

// loss is a request of the teller's whose answer never came.
type loss struct {
	req Request
	age time.Duration // since that was known
}

// laneHeld is what a node has of a lane that the other hands out from now on.
type laneHeld struct {
	identity   Identity
	seq        uint64 // of the teller's newest question about it
	held, want int
}

// flight is a request of the teller's that was granted and has no answer yet.
type flight struct {
	id  uint64
	req Request
}

// bucketKnown is what a node knows of a bucket. Times are from the sending on.
type bucketKnown struct {
	hash, major      string
	identity         Identity
	routes           []string // that Discord counts in this bucket
	limit, remaining int
	window           int64 // Discord's reset, in its own milliseconds
	resetAfter       time.Duration
	length           time.Duration
	// exact: the teller kept the bucket until now, so nothing is unknown of it but
	// what the others have in flight.
	exact   bool
	lost    []time.Duration
	blocked time.Duration
	scope   Scope
}

func appendItem(b []byte, it item) []byte {
	b = append(b, it.kind)
	switch it.kind {
	case itemReport:
		b = appendAnswer(appendRequest(binary.AppendUvarint(b, it.id), it.req), it.answer)
	case itemCancel:
		b = binary.AppendUvarint(b, it.id)
	case itemInform:
		b = it.inform.append(b)
	case itemPoke:
		b = append(b, byte(it.identity))
	case itemBlocked:
		b = appendWait(append(b, byte(it.identity), flag(it.edge)), it.wait)
	case itemInvalid:
		b = appendCount(b, it.count)
	}
	return b
}

func (r *reader) item() item {
	it := item{kind: r.byte()}
	switch it.kind {
	case itemReport:
		it.id, it.req, it.answer = r.uint(), r.request(), r.answer()
	case itemCancel:
		it.id = r.uint()
	case itemInform:
		it.inform = r.inform()
	case itemPoke:
		it.identity = r.identity()
	case itemBlocked:
		it.identity, it.edge, it.wait = r.identity(), r.flag(), r.wait()
	case itemInvalid:
		it.count = r.count()
	default:
		r.fail()
	}
	return it
}

// tell reads the items of a message; their number is bounded by its length.
func (r *reader) tell() (seq uint64, items []item) {
	seq = r.uint()
	for r.err == nil && len(r.b) > 0 {
		items = append(items, r.item())
	}
	return seq, items
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

func (r *reader) flag() bool { return r.byte() != 0 }

func appendAnswer(b []byte, a Answer) []byte {
	b = appendCount(append(b, byte(a.Fate)), a.Status)
	b = appendCount(appendCount(appendString(b, a.Bucket), a.Limit), a.Remaining)
	b = binary.AppendUvarint(b, uint64(max(a.Reset, 0)))
	return appendString(appendWait(appendWait(b, a.ResetAfter), a.RetryAfter), string(a.Scope))
}

func (r *reader) answer() Answer {
	a := Answer{Fate: Fate(r.byte()), Status: r.count(), Bucket: r.str(), Limit: r.count(), Remaining: r.count()}
	a.Reset = int64(r.uint() &^ (1 << 63))
	a.ResetAfter, a.RetryAfter, a.Scope = r.wait(), r.wait(), Scope(r.str())
	if a.Fate > Unsent {
		r.fail()
	}
	return a
}

func (n *inform) append(b []byte) []byte {
	b = appendCount(appendWait(appendStamp(b, n.view), n.death), n.invalid)
	b = appendCount(b, len(n.lanes))
	for _, l := range n.lanes {
		b = appendCount(appendCount(binary.AppendUvarint(append(b, byte(l.identity)), l.seq), l.held), l.want)
	}
	b = appendCount(b, len(n.buckets))
	for _, k := range n.buckets {
		b = k.append(b)
	}
	b = appendCount(b, len(n.flights))
	for _, f := range n.flights {
		b = appendRequest(binary.AppendUvarint(b, f.id), f.req)
	}
	b = appendCount(b, len(n.losses))
	for _, l := range n.losses {
		b = appendWait(appendRequest(b, l.req), l.age)
	}
	b = appendCount(b, len(n.asks))
	for _, id := range n.asks {
		b = binary.AppendUvarint(b, id)
	}
	return append(binary.AppendUvarint(b, n.newest), flag(n.again))
}

func (r *reader) inform() *inform {
	n := &inform{view: r.stamp(), death: r.wait(), invalid: r.count()}
	r.list(func() { n.lanes = append(n.lanes, laneHeld{r.identity(), r.uint(), r.count(), r.count()}) })
	r.list(func() { n.buckets = append(n.buckets, r.bucketKnown()) })
	r.list(func() { n.flights = append(n.flights, flight{r.uint(), r.request()}) })
	r.list(func() { n.losses = append(n.losses, loss{r.request(), r.wait()}) })
	r.list(func() { n.asks = append(n.asks, r.uint()) })
	n.newest, n.again = r.uint(), r.flag()
	return n
}

func (k bucketKnown) append(b []byte) []byte {
	b = append(appendString(appendString(b, k.hash), k.major), byte(k.identity), flag(k.exact))
	b = appendCount(b, len(k.routes))
	for _, route := range k.routes {
		b = appendString(b, route)
	}
	b = binary.AppendUvarint(appendCount(appendCount(b, k.limit), k.remaining), uint64(max(k.window, 0)))
	b = appendCount(appendWait(appendWait(b, k.resetAfter), k.length), len(k.lost))
	for _, d := range k.lost {
		b = appendWait(b, d)
	}
	return appendString(appendWait(b, k.blocked), string(k.scope))
}

func (r *reader) bucketKnown() bucketKnown {
	k := bucketKnown{hash: r.str(), major: r.str(), identity: r.identity(), exact: r.flag()}
	r.list(func() { k.routes = append(k.routes, r.str()) })
	k.limit, k.remaining, k.window = r.count(), r.count(), int64(r.uint()&^(1<<63))
	k.resetAfter, k.length = r.wait(), r.wait()
	r.list(func() { k.lost = append(k.lost, r.wait()) })
	k.blocked, k.scope = r.wait(), Scope(r.str())
	return k
}
