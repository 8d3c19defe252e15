package consensus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// proposer starts a proposer on n. Its calls to the leader overtake each other at random.
func (c *cluster) proposer(n *testNode, tune func(*ProposerOptions)) *Proposer {
	c.t.Helper()
	o := ProposerOptions{
		Raft: n.Raft, Encode: toyEncode, EncodeResult: toyEncodeResult, SplitResults: toySplit,
		Caller: CallerFunc(func(ctx context.Context, addr string, req []byte) ([]byte, error) {
			if !sleep(ctx, rand.N(2*time.Millisecond)) {
				return nil, ctx.Err()
			}
			return c.net.call(n.id, addr, func(to *testNode) ([]byte, error) { return forward(ctx, to, n.id, req) })
		}),
	}
	if tune != nil {
		tune(&o)
	}
	p := NewProposer(o)
	p.Start()
	c.t.Cleanup(func() { _ = p.Close() })
	return p
}

// forward waits for an acceptor's reply as a transport does.
func forward(ctx context.Context, to *testNode, from string, req []byte) ([]byte, error) {
	type answer struct {
		b   []byte
		err error
	}
	got := make(chan answer, 1)
	to.accept.Handle(from, req, func(b []byte, err error) { got <- answer{b, err} })
	select {
	case a := <-got:
		return a.b, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-to.ctx.Done():
		return nil, errors.New("connection lost")
	}
}

func (c *cluster) follower() *testNode {
	c.t.Helper()
	l := c.Leader()
	for _, n := range c.live() {
		if n != l {
			c.eventually("the leader, on "+n.id, func() bool { return n.Leader().ID == l.id })
			return n
		}
	}
	c.t.Fatal("no follower")
	return nil
}

func TestProposerKeepsOrder(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"leader", "follower"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3, nil)
			n := c.Leader()
			if where == "follower" {
				n = c.follower()
			}
			p := c.proposer(n, func(o *ProposerOptions) { o.MaxBatchBytes = 100 })
			const total = 500
			var wg sync.WaitGroup
			var order []int // written by the proposer's one goroutine
			before := n.LastIndex()
			started := time.Now()
			for i := range total {
				wg.Add(1)
				p.Submit(fmt.Appendf(nil, "e%d v", i), func(res []byte, err error) {
					defer wg.Done()
					if err != nil || string(res) != fmt.Sprintf("ok e%d", i) {
						t.Errorf("command %d: %q, %v", i, res, err)
					}
					order = append(order, i)
				})
			}
			wg.Wait()
			if got := p.LastVerified(); got.Before(started) || got.After(time.Now()) {
				t.Errorf("last verified %v", got)
			}
			c.EnsureSame()
			applied := n.toy.read().Applied
			for i := range total {
				if applied[i] != fmt.Sprintf("e%d", i) {
					t.Fatalf("applied[%d] = %s", i, applied[i])
				}
			}
			if used := n.LastIndex() - before; used >= total/2 || used < total*8/100/2 {
				t.Errorf("%d commands made %d entries", total, used)
			}
			if len(order) != total {
				t.Errorf("%d outcomes", len(order))
			}
		})
	}
}

func TestIdleProposerSendsAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	p := c.proposer(c.Leader(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	best := time.Hour
	for i := range 20 {
		start := time.Now()
		if _, err := p.Propose(ctx, fmt.Appendf(nil, "e%d v", i)); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	if best > 5*time.Millisecond {
		t.Errorf("the fastest of 20 took %v: there is a timer in the way", best)
	}
}

func TestProposerSurvivesLeaderKills(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 5, nil)
	first := c.Leader()
	n := c.follower()
	p := c.proposer(n, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 100 {
				id := fmt.Sprintf("w%d-%d", w, i)
				if res, err := p.Propose(ctx, []byte(id+" v")); err != nil || string(res) != "ok "+id {
					t.Errorf("%s: %q, %v", id, res, err)
					return
				}
			}
		})
	}
	c.eventually("progress", func() bool { return len(n.toy.read().Applied) > 40 })
	c.Kill(first, true)
	if second := c.Leader(); second != n {
		c.eventually("more progress", func() bool { return len(n.toy.read().Applied) > 120 })
		c.Kill(second, true)
	}
	wg.Wait()
	c.EnsureSame()
	applied := n.toy.read().Applied
	next := map[string]int{}
	for _, id := range applied { // each worker waits for its command, so its own stay in order
		w, num, _ := strings.Cut(id, "-")
		if num != fmt.Sprint(next[w]) {
			t.Fatalf("%s applied out of order", id)
		}
		next[w]++
	}
	if len(applied) != 400 {
		t.Errorf("%d commands applied, want 400", len(applied))
	}
}

func TestProposerErrors(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	n := c.Leader()
	p := c.proposer(n, func(o *ProposerOptions) { o.HoldTimeout = 50 * time.Millisecond; o.QueueBytes = 100 })
	c.Partition(n)
	outcome := make(chan error, 1)
	p.Submit([]byte("a 1"), func(_ []byte, err error) { outcome <- err })
	if err := <-outcome; !errors.Is(err, ErrUnknownOutcome) || NotAppended(err) {
		t.Errorf("without a quorum: %v", err)
	}
	c.eventually("that no leader is known", func() bool { return !n.Leader().Known })
	p.Submit([]byte("b 1"), func(_ []byte, err error) { outcome <- err })
	if err := <-outcome; !errors.Is(err, ErrNoLeader) || !NotAppended(err) {
		t.Errorf("without a leader: %v", err)
	}
	c.Heal(n)
	c.Leader()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if res, err := p.Propose(ctx, []byte("a 1")); err != nil || string(res) != "ok a" {
		t.Errorf("after healing: %q, %v", res, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	p.Submit([]byte("c 1"), func(_ []byte, err error) { outcome <- err })
	if err := <-outcome; !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := p.Propose(ctx, []byte("c 1")); !errors.Is(err, ErrClosed) {
		t.Errorf("propose after Close: %v", err)
	}
}

func TestProposerBackPressure(t *testing.T) {
	t.Parallel()
	c := emptyCluster(t, nil)
	n := c.start("n1") // not bootstrapped: no leader ever
	p := c.proposer(n, func(o *ProposerOptions) { o.QueueBytes = 10; o.HoldTimeout = time.Hour })
	nop := func([]byte, error) {}
	if err := p.TrySubmit([]byte("123456"), nop); err != nil {
		t.Fatal(err)
	}
	if err := p.TrySubmit([]byte("123456"), nop); !errors.Is(err, ErrBusy) {
		t.Errorf("full queue: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.SubmitContext(ctx, []byte("123456"), nop); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("full queue: %v", err)
	}
	done := make(chan error, 1)
	go p.Submit([]byte("123456"), func(_ []byte, err error) { done <- err })
	if err := n.Bootstrap(); err != nil { // a leader drains the queue
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("blocked command: %v", err)
	}
}

func TestProposerNeverStarted(t *testing.T) {
	t.Parallel()
	c := emptyCluster(t, nil)
	p := NewProposer(ProposerOptions{Raft: c.start("n1").Raft})
	called := false
	p.Submit([]byte("a"), func(_ []byte, err error) { called = errors.Is(err, ErrClosed) })
	_ = p.Close()
	_ = p.Close()
	if !called {
		t.Error("done was not called with ErrClosed")
	}
}

func TestFollowersReadLinearizably(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	n := c.follower()
	p := c.proposer(n, nil)
	at := c.propose(c.Leader(), "a 1")
	sent := time.Now()
	index, err := p.LinearizableIndex(t.Context())
	if err != nil || index < at {
		t.Fatalf("index %d, %v; want at least %d", index, err, at)
	}
	if err := n.WaitApplied(t.Context(), index); err != nil || n.toy.read().Register != "1" {
		t.Errorf("read %q, %v", n.toy.read().Register, err)
	}
	if got := p.LastVerified(); got.Before(sent) {
		t.Errorf("last verified %v before the read", sent.Sub(got))
	}
}

func TestAcceptorHoldsBackAndRefuses(t *testing.T) {
	t.Parallel()
	var proposed, refused []string
	entry := func(name string) heldEntry {
		return heldEntry{[]byte(name), func(b []byte, _ error) {
			if len(b) == 1 && b[0] == gotNotLeader {
				refused = append(refused, name)
			}
		}}
	}
	s := newSender()
	accept := func(session, stream, seq uint64, name string) {
		s.accept(place{session, stream, seq}, entry(name), func(e heldEntry) { proposed = append(proposed, string(e.entry)) })
	}
	accept(1, 1, 2, "c")
	accept(1, 1, 1, "b")
	accept(1, 1, 0, "a")
	accept(1, 1, 0, "late")
	accept(1, 1, 4, "lonely")
	accept(1, 2, 0, "d") // a new stream gives up on what is held
	accept(1, 1, 3, "old stream")
	accept(9, 1, 0, "e") // a new life
	accept(1, 2, 1, "old life")
	accept(1, 3, 0, "older life")
	accept(9, 1, 1, "f") // whose stream goes on
	if got := strings.Join(proposed, " "); got != "a b c d e f" {
		t.Errorf("proposed %s", got)
	}
	if got := strings.Join(refused, ", "); got != "late, lonely, old stream, old life, older life" {
		t.Errorf("refused %s", got)
	}
	for i := range uint64(heldMax) {
		accept(9, 1, 10+i, "far")
	}
	refused = nil
	accept(9, 1, 99, "too many")
	if len(refused) != 1 {
		t.Errorf("refused %v", refused)
	}
}

func FuzzDecodeForwarded(f *testing.F) {
	f.Add(encodeEntry(place{1, 2, 3}, []byte("entry"))[1:])
	f.Add(encodeOutcome(7, []byte("res"), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, entry, err := decodeEntry(b); err == nil {
			q, again, err := decodeEntry(encodeEntry(p, entry)[1:])
			if err != nil || q != p || string(again) != string(entry) {
				t.Fatalf("%+v %q became %+v %q, %v", p, entry, q, again, err)
			}
		}
		if index, res, err := decodeOutcome(b); err == nil {
			i, again, err := decodeOutcome(encodeOutcome(index, res, nil))
			if err != nil || i != index || string(again) != string(res) {
				t.Fatalf("%d %q became %d %q, %v", index, res, i, again, err)
			}
		} else if !errors.Is(err, ErrUnknownOutcome) && !NotAppended(err) {
			t.Fatalf("an error of no class: %v", err)
		}
	})
}
