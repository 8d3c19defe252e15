package tries

import (
	"fmt"
	"testing"
	"time"
)

func TestWrong(t *testing.T) {
	var w Wrong
	now := time.Unix(1_700_000_000, 0)
	if !w.Count("192.0.2.1:5", now) {
		t.Error("the first of a minute isn't told")
	}
	for range PerMinute - 2 {
		w.Count("192.0.2.1:7", now)
	}
	if !w.May("192.0.2.1:5", now) {
		t.Error("one try too few")
	}
	if w.Count("192.0.2.1", now) {
		t.Error("the tenth is taken for the first")
	}
	if w.May("192.0.2.1:5", now.Add(59*time.Second)) || !w.May("192.0.2.2:5", now) {
		t.Error("an address may be wrong too often, or pays for another's mistakes")
	}
	if !w.May("192.0.2.1:5", now.Add(time.Minute)) || !w.Count("192.0.2.1:5", now.Add(time.Minute)) {
		t.Error("mistakes aren't forgiven after a minute")
	}
}

func TestWrongOfANetwork(t *testing.T) {
	var w Wrong
	now := time.Unix(1_700_000_000, 0)
	for i := range PerMinute {
		w.Count(fmt.Sprintf("[2001:db8::%d]:1", i), now)
	}
	if w.May("[2001:db8::ffff]:1", now) || !w.May("[2001:db8:0:1::1]:1", now) {
		t.Error("a host has more tries for having more addresses")
	}
}

func TestWrongIsBounded(t *testing.T) {
	var w Wrong
	now := time.Unix(1_700_000_000, 0)
	for i := range maxAddrs + 5000 {
		w.Count(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), now)
	}
	if len(w.byNet) > maxAddrs+1 || w.May("203.0.113.9:1", now) {
		t.Errorf("%d addresses are told apart", len(w.byNet))
	}
}
