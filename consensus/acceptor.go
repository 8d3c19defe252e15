package consensus

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Acceptor is the leader's side of the proposers of other nodes. It proposes each sender's entries in the order in
// which they were sent, however the calls overtook each other on their way.
type Acceptor struct {
	raft   *Raft
	encode func(any) []byte

	mu      sync.Mutex
	senders map[string]*sender
}

// NewAcceptor makes an acceptor that encodes results with encode.
func NewAcceptor(r *Raft, encode func(any) []byte) *Acceptor {
	return &Acceptor{raft: r, encode: encode, senders: make(map[string]*sender)}
}

// heldMax bounds the entries of one sender that wait for an earlier one.
const heldMax = 64

// acceptTimeout bounds how long the leader works on one request. The sender's own deadline is shorter as a rule.
const acceptTimeout = 30 * time.Second

// sender is what is known of one node's stream.
//
// Invariant: held has no entry of next, and none of another stream.
type sender struct {
	mu      sync.Mutex
	session uint64
	stream  uint64
	next    uint64
	held    map[uint64]heldEntry
	// former are the sessions before: what comes of them late, read off the connection of a process that has died, must not
	// end the stream of the present one.
	former map[uint64]bool
}

type heldEntry struct {
	entry []byte
	reply func([]byte, error)
}

// Handle answers one request of the node called from, whose id is authenticated. It returns soon; reply is called
// exactly once, at any time, on any goroutine. It keeps a part of req.
func (a *Acceptor) Handle(from string, req []byte, reply func([]byte, error)) {
	if len(req) == 0 {
		reply(nil, errForward)
		return
	}
	switch req[0] {
	case askEntry:
		p, entry, err := decodeEntry(req[1:])
		if err != nil {
			reply(nil, err)
			return
		}
		a.sender(from).accept(p, heldEntry{entry, reply}, a.propose)
	case askIndex:
		a.readIndex(reply)
	default:
		reply(nil, fmt.Errorf("%w: unknown kind %d", errForward, req[0]))
	}
}

func (a *Acceptor) sender(id string) *sender {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.senders[id]
	if !ok {
		s = newSender()
		a.senders[id] = s
	}
	return s
}

func newSender() *sender {
	return &sender{held: make(map[uint64]heldEntry), former: make(map[uint64]bool)}
}

// accept proposes e if it is next, and what waited for it; else it keeps e back.
func (s *sender) accept(p place, e heldEntry, propose func(heldEntry)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.former[p.session] {
		refuse(e)
		return
	}
	if p.session != s.session || p.stream > s.stream {
		s.begin(p)
	}
	switch {
	case p.stream < s.stream || p.seq < s.next || len(s.held) >= heldMax:
		refuse(e)
		return
	case p.seq > s.next:
		if old, twice := s.held[p.seq]; twice {
			refuse(old)
		}
		s.held[p.seq] = e
		return
	}
	propose(e)
	s.next++
	for {
		e, ok := s.held[s.next]
		if !ok {
			return
		}
		delete(s.held, s.next)
		propose(e)
		s.next++
	}
}

// begin starts a stream. What is held of the one before never found its predecessor.
func (s *sender) begin(p place) {
	for _, e := range s.held {
		refuse(e)
	}
	clear(s.held)
	if p.session != s.session && s.stream > 0 {
		s.former[s.session] = true
	}
	s.session, s.stream, s.next = p.session, p.stream, 0
}

// refuse answers that the entry was not appended, which is true of every entry that was not proposed.
func refuse(e heldEntry) { e.reply([]byte{gotNotLeader}, nil) }

func (a *Acceptor) propose(e heldEntry) {
	f := a.raft.Propose(e.entry)
	answer := func() {
		index, res, err := f.Result()
		if err != nil {
			e.reply(encodeOutcome(0, nil, err), nil)
			return
		}
		e.reply(encodeOutcome(index, a.encode(res), nil), nil)
	}
	if !a.raft.spawn(answer) {
		refuse(e) // the node is closed, so Propose refused as well
	}
}

func (a *Acceptor) readIndex(reply func([]byte, error)) {
	ok := a.raft.spawn(func() {
		ctx, cancel := context.WithTimeout(a.raft.ctx, acceptTimeout)
		defer cancel()
		index, err := a.raft.LinearizableIndex(ctx)
		reply(encodeOutcome(index, nil, err), nil)
	})
	if !ok {
		reply([]byte{gotNotLeader}, nil)
	}
}
