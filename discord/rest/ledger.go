package rest

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

const (
	// staleWant is how old what a node wants may be while another one waits.
	staleWant = 100 * time.Millisecond
	// laneRest is how long the second may last in which Discord counts what a
	// process has sent that is gone.
	laneRest = flightTime + laneWindow + pad
)

// ledger is a lane's home: it says how many of the lane's places each node
// has. It is pure: time comes in.
//
// Invariant: the sum of held and of resting is never above limit, unless the
// limit was lowered. held is an upper bound of what a node uses: it is raised
// before the node is told, and lowered when the node has told.
type ledger struct {
	limit   int
	open    bool // false until the nodes have told what they hold
	holders map[Member]*holder
	resting []rest // places that nobody may use for a while
	unsure  int    // places that silent nodes may hold
}

// rest is places of a process that is gone.
type rest struct {
	places int
	until  time.Time
}

// holder is what a ledger knows of one node.
type holder struct {
	held, want int
	seq        uint64    // of its newest question; 0 before the first
	at         time.Time // when it last told what it wants
	granted    time.Time // when it last got places
	informed   bool
	cut        bool          // it is out of reach, and takes its share
	poked      bool          // it was asked to tell since
	answer     func(laneAns) // its open question; nil if there is none
}

// newLedger returns the ledger of a node that has just become a lane's home.
func newLedger(limit int) *ledger {
	return &ledger{limit: limit, holders: map[Member]*holder{}}
}

// holder returns a node's entry.
func (l *ledger) holder(m Member) *holder {
	h := l.holders[m]
	if h == nil {
		h = &holder{}
		l.holders[m] = h
	}
	return h
}

// inform takes in what a node held at a change of the view, unless it has asked since.
func (l *ledger) inform(m Member, n laneHeld, now time.Time) {
	h := l.holder(m)
	if n.seq > h.seq {
		if !h.informed {
			l.unsure = max(l.unsure-n.held, 0)
		}
		h.seq, h.held, h.want, h.at = n.seq, n.held, n.want, now
		h.poked, h.answer = false, nil // the question before has been given up, whether poked for or not
	}
	h.informed = true
}

// ask takes in a question. It is answered at once or later, by allocate.
func (l *ledger) ask(m Member, q laneMsg, now time.Time, answer func(laneAns)) {
	h := l.holder(m)
	if q.seq <= h.seq {
		return // overtaken by a newer one: the node has given it up
	}
	if !h.informed {
		l.unsure = max(l.unsure-q.held, 0)
	}
	h.seq, h.held, h.want, h.at = q.seq, q.held, q.want, now
	h.informed, h.cut, h.poked, h.answer = true, false, false, answer
}

// cutOff takes in that one of the members can't be reached. It takes a share then,
// whatever it held; the rest is free for the others once it has noticed, too.
func (l *ledger) cutOff(m Member, share int, members []Member, now time.Time) {
	h := l.holder(m)
	h.cut = true
	free := max(h.held-share, 0)
	h.held -= free
	silent := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return l.holder(m).informed })
	if !slices.ContainsFunc(silent, func(m Member) bool { return !l.holder(m).cut }) {
		n := max(l.unsure-len(silent)*share, 0) // nobody else may have it
		l.unsure, free = l.unsure-n, free+n
	}
	if free > 0 {
		l.resting = append(l.resting, rest{free, now.Add(aloneTime + laneRest)})
	}
}

// leave takes in that a process is gone: what it had rests.
func (l *ledger) leave(m Member, now time.Time) {
	h := l.holders[m]
	if h == nil {
		return
	}
	delete(l.holders, m)
	if h.held > 0 {
		l.resting = append(l.resting, rest{h.held, now.Add(laneRest)})
	}
}

// begin lets places be handed out. What nobody told of is free, unless a
// process that may have had it died less than a moment ago (then that rests
// until death+laneRest), or one of the members is silent.
func (l *ledger) begin(members []Member, death time.Time, now time.Time) {
	if l.open {
		return
	}
	l.open = true
	left := l.limit - l.taken(now)
	switch until := death.Add(laneRest); {
	case left <= 0:
	case slices.ContainsFunc(members, func(m Member) bool { return !l.holder(m).informed }):
		l.unsure = left
	case !death.IsZero() && until.After(now):
		l.resting = append(l.resting, rest{left, until})
	}
}

// settle ends what was unsure once no member is silent any more.
func (l *ledger) settle(members []Member, now time.Time) {
	if l.unsure == 0 || slices.ContainsFunc(members, func(m Member) bool { return !l.holder(m).informed }) {
		return
	}
	l.resting = append(l.resting, rest{l.unsure, now.Add(laneRest)})
	l.unsure = 0
}

// taken is how many places are with nodes, rest or are unsure.
func (l *ledger) taken(now time.Time) int {
	l.resting = slices.DeleteFunc(l.resting, func(r rest) bool { return !r.until.After(now) })
	n := l.unsure
	for _, r := range l.resting {
		n += r.places
	}
	for _, h := range l.holders {
		n += h.held
	}
	return n
}

// allocate answers the questions that it can answer, and returns whom to ask
// what they have and want, and when to be called again; zero if never.
func (l *ledger) allocate(now time.Time) (poke []Member, again time.Time) {
	if !l.open {
		return nil, time.Time{}
	}
	order := slices.SortedFunc(maps.Keys(l.holders), func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Inc, b.Inc))
	})
	fair := l.fair(order, now)
	l.grant(order, fair, now)
	if !l.wanting() && l.taken(now) <= l.limit {
		for _, m := range order { // nobody waits for another's places: keep what you have
			if h := l.holders[m]; h.answer != nil {
				h.reply(h.held)
			}
		}
		return nil, time.Time{}
	}
	for i, m := range order {
		h := l.holders[m]
		stale := now.Sub(h.at) >= staleWant
		switch {
		case h.answer != nil && (h.held > fair[i] || h.want <= h.held || stale):
			h.reply(min(h.held, fair[i]))
		case h.answer == nil && !h.poked && (h.held > 0 || h.want > 0) && (stale || h.held > fair[i]):
			h.poked = true
			poke = append(poke, m)
		}
	}
	return poke, l.next(now)
}

// wanting is true if a node waits for places, or did when it last told: between
// two of its questions what others report must not look unwanted.
func (l *ledger) wanting() bool {
	for _, h := range l.holders {
		if h.want > h.held {
			return true
		}
	}
	return false
}

// grant gives what is free to those who wait for it and have less than their share.
func (l *ledger) grant(order []Member, fair []int, now time.Time) {
	free := l.limit - l.taken(now)
	for i, m := range order {
		h := l.holders[m]
		if n := min(free, fair[i]-h.held); h.answer != nil && h.want > h.held && n > 0 {
			h.held, h.granted = h.held+n, now
			free -= n
			h.reply(h.held)
		}
	}
}

// reply answers a node's open question.
func (h *holder) reply(target int) {
	answer := h.answer
	h.answer = nil
	answer(laneAns{code: ansGranted, held: h.held, target: target})
}

// next is when allocate has something to do without a question: what rests is
// free again, or what somebody wants is stale.
func (l *ledger) next(now time.Time) time.Time {
	at := now.Add(staleWant)
	for _, r := range l.resting {
		if r.until.Before(at) {
			at = r.until
		}
	}
	return at
}

// fair shares the places that don't rest: to each what it wants, as far as an
// equal share goes; what is left by those who want less goes to those who want
// more, and what nobody wants to all.
func (l *ledger) fair(order []Member, now time.Time) []int {
	left := l.limit - l.taken(now)
	for _, h := range l.holders {
		left += h.held
	}
	left = max(left, 0)
	out := make([]int, len(order))
	open := make([]int, len(order)) // who wants more than it has been given
	for i := range open {
		open[i] = i
	}
	for len(open) > 0 && left >= len(open) {
		share := left / len(open)
		open = slices.DeleteFunc(open, func(i int) bool {
			n := min(l.holders[order[i]].want-out[i], share)
			out[i] += n
			left -= n
			return n < share
		})
	}
	if l.limit < len(order) { // too few for all: turn by turn
		slices.SortStableFunc(open, func(a, b int) int {
			return l.holders[order[a]].granted.Compare(l.holders[order[b]].granted)
		})
	}
	for _, i := range open[:min(left, len(open))] {
		out[i]++
		left--
	}
	for i := range out {
		share := left / (len(out) - i)
		out[i] += share
		left -= share
	}
	return out
}

// close answers all open questions: this node isn't the lane's home any more.
func (l *ledger) close(view stamp) {
	for _, h := range l.holders {
		if h.answer != nil {
			h.answer(laneAns{code: ansMoved, view: view})
			h.answer = nil
		}
	}
}
