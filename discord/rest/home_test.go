package rest

import (
	"testing"
	"testing/synctest"
	"time"
)

// A withdrawal that came before what it withdraws isn't forgotten for the many that
// withdraw what was lost, and those are forgotten some time.
func TestWithdrawalsAreRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := trio(t, Options{}, &script{})
		home, other := homeOf(nodes, major(1))
		c := home.c
		cancel := func(id uint64) {
			c.here.mu.Lock()
			defer c.here.mu.Unlock()
			c.hear(other.member, item{kind: itemCancel, id: id}, time.Now())
		}
		for id := range uint64(maxWithdrawn) - 1 {
			cancel(1000 + id)
		}
		time.Sleep(2 * withdrawnTime)
		cancel(7)
		cancel(8) // here is no room for it but that of the old ones
		msg := acquireMsg{view: c.view.stamp, id: 7, req: firstChannel()}
		if a, ok := answerNow(handle(home, other.member, msg.append(nil))); !ok || a.code != ansMoved {
			t.Errorf("a request that was withdrawn is answered %+v", a)
		}
		if n := queued(home) + inflight(home); n != 0 {
			t.Errorf("%d requests are in the books", n)
		}
		if n := len(c.gone); n != 1 {
			t.Errorf("%d withdrawals are remembered", n)
		}
	})
}

// What a process had on the wire when it died may arrive yet: it counts for longer
// than what a living one lost.
func TestWhatTheDeadHaveSentMayArriveYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes, _ := learnt(t)
		home, victim := homeOf(nodes, major(1))
		acquire(t, victim)
		victim.kill()
		home.c.SetView(m.view(without(nodes, victim)...))
		home.c.here.mu.Lock()
		defer home.c.here.mu.Unlock()
		b := home.c.here.find(firstChannel())
		until := time.Now().Add(time.Second + pad + flightTime)
		if len(b.lost) != 1 || b.lost[0].Before(until) || b.inflight != 0 {
			t.Errorf("lost until %v, not %v; %d in flight", b.lost, until, b.inflight)
		}
	})
}
