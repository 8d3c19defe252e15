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
