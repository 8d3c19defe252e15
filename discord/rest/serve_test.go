package rest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// handle gives a node a message of another, and returns where the answer will be.
func handle(n *meshNode, from Member, msg []byte) <-chan acquireAns {
	got := make(chan acquireAns, 1)
	n.c.Handle(from, msg, func(b []byte, err error) {
		a, bad := decodeAcquireAns(b)
		if errors.Join(err, bad) != nil {
			a = acquireAns{code: 99}
		}
		got <- a
	})
	return got
}

// answerNow returns an answer that has come, or false.
func answerNow(got <-chan acquireAns) (acquireAns, bool) {
	select {
	case a := <-got:
		return a, true
	default:
		return acquireAns{}, false
	}
}

func TestAQuestionWaitsForItsView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := trio(t, Options{}, &script{})
		home, other := homeOf(nodes, major(1))
		left := without(nodes, without(without(nodes, home), other)[0])
		next := m.view(left...)
		ask := func(id uint64, v View) <-chan acquireAns {
			msg := acquireMsg{view: newViewState(home.member, v).stamp, id: id, req: firstChannel()}
			return handle(home, other.member, msg.append(nil))
		}
		early := ask(900, next)
		if a, ok := answerNow(early); ok {
			t.Fatalf("a question of a view that hasn't come is answered: %+v", a)
		}
		home.c.SetView(next)
		time.Sleep(2 * barrierTime) // the other one doesn't tell
		if a, ok := answerNow(early); !ok || a.code == 99 {
			t.Errorf("the view has come: %+v, %v", a, ok)
		}
		never := ask(901, m.view(home))
		time.Sleep(earlyTime + time.Millisecond)
		if a, ok := answerNow(never); !ok || a.code != ansMoved || a.view != home.c.view.stamp {
			t.Errorf("the view doesn't come: %+v, %v", a, ok)
		}
	})
}

func TestOnlyTheHomeGivesPlacesAndTakesReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := trio(t, Options{}, &script{})
		home, other := homeOf(nodes, major(1))
		msg := acquireMsg{view: home.c.view.stamp, id: 900, req: firstChannel()}
		if a, ok := answerNow(handle(other, home.member, msg.append(nil))); !ok || a.code != ansMoved {
			t.Errorf("a node that isn't the home answers %+v", a)
		}
		other.c.here.mu.Lock()
		defer other.c.here.mu.Unlock()
		other.c.hear(home.member, item{kind: itemReport, id: 900, req: firstChannel(), answer: Answer{
			Status: 200, Bucket: "hash", Limit: 5, Remaining: 4, ResetAfter: time.Second,
		}}, time.Now())
		if n := len(other.c.here.buckets); n != 0 {
			t.Errorf("a node that isn't the home keeps %d buckets", n)
		}
	})
}

func TestARepeatedMessageIsHeardOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := trio(t, Options{}, roomy())
		home, other := homeOf(nodes, major(1))
		mustSend(t, home.rt, "GET", "/channels/1/x")
		msg := appendItem([]byte{msgTell, 100}, item{kind: itemReport, id: 900, req: firstChannel(), answer: Answer{Fate: Lost}})
		for range 3 {
			home.c.Handle(other.member, msg, func(_ []byte, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		home.c.here.mu.Lock()
		defer home.c.here.mu.Unlock()
		if b := home.c.here.find(firstChannel()); len(b.lost) != 1 {
			t.Errorf("one lost request counts for %d", len(b.lost))
		}
	})
}
