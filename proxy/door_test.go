package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/botnode/botnode/discord"
)

// enterAll takes so many seats of an address that can be evicted, and returns
// them with the flags that say which were.
func (d *door) enterAll(t *testing.T, addr string, n int) (seats []*seat, gone []bool) {
	t.Helper()
	gone = make([]bool, n)
	for i := range n {
		s := d.enter(addr)
		if s == nil {
			t.Fatalf("no room for the %d. of %s", i+1, addr)
		}
		d.seated(s, func() { gone[i] = true })
		seats = append(seats, s)
	}
	return seats, gone
}

// TestDoorOfAnAddress: the oldest that says nothing makes room for another of its
// address; those that are being answered keep their places, and those that are
// known need none.
func TestDoorOfAnAddress(t *testing.T) {
	var d door
	seats, gone := d.enterAll(t, "a", maxUnknownPerAddr)
	for _, s := range seats[:2] {
		d.busy(s, true)
	}
	d.recognise(seats[2])
	more := []*seat{d.enter("a"), d.enter("a")}
	if gone[0] || gone[1] || gone[2] || !gone[3] || gone[4] {
		t.Errorf("evicted: %v", gone[:5])
	}
	if more[0] == nil || more[1] == nil || len(d.byAddr["a"]) != maxUnknownPerAddr {
		t.Errorf("%d of an address", len(d.byAddr["a"]))
	}
	for _, s := range seats {
		d.busy(s, true)
	}
	if d.enter("a") != nil { // the two have no connection yet
		t.Error("somebody made room who may not")
	}
	if s := d.enter("b"); s == nil {
		t.Error("another address is kept out")
	} else {
		d.leave(s)
	}
	for _, s := range append(seats, more...) {
		d.leave(s)
	}
	if d.all != 0 || d.unknown != 0 || len(d.byAddr) != 0 {
		t.Errorf("left over: %d, %d, %v", d.all, d.unknown, d.byAddr)
	}
}

// TestDoorKeepsNobodyOut: a few addresses that hold all places lose one for each
// newcomer, and the newcomers lose none to them.
func TestDoorKeepsNobodyOut(t *testing.T) {
	var d door
	for i := range maxUnknown / maxUnknownPerAddr {
		d.enterAll(t, fmt.Sprint("hostile ", i), maxUnknownPerAddr)
	}
	_, gone := d.enterAll(t, "honest", 20)
	for i := range maxUnknown { // more of the same
		d.enterAll(t, fmt.Sprint("hostile ", i%8), 1)
	}
	for i, g := range gone {
		if g {
			t.Errorf("an honest connection (%d) had to go", i)
		}
	}
	if d.unknown != maxUnknown {
		t.Errorf("%d are unknown", d.unknown)
	}
}

// TestHalfOpenConnectionsMakeRoom: who doesn't identify is hung up on when others
// come, and in any case after a while.
func TestHalfOpenConnectionsMakeRoom(t *testing.T) {
	q := usualTimes
	q.identify = 2 * time.Second
	b := newBed(t, bedOptions{guilds: 1, times: q})
	n := b.nodes[0]
	good := n.dial("")
	good.begun(bedIntents, "")
	var open []*client
	for range maxUnknownPerAddr {
		open = append(open, n.dial(""))
	}
	late := n.dial("")
	late.begun(bedIntents, "")
	if _, err := open[0].read(); websocket.IsCloseError(err, 4009) || err == nil {
		t.Errorf("the oldest: %v", err)
	}
	begun := time.Now()
	open[1].send(discord.OpHeartbeat, "null")
	if code, _ := open[1].closed(); code != 4009 {
		t.Errorf("one that beats and doesn't identify: %d", code)
	}
	if d := time.Since(begun); d > q.identify+time.Second {
		t.Errorf("it was there for %v", d)
	}
	b.say(guildID(0), "still here")
	good.event(discord.EventMessageCreate)
	late.event(discord.EventMessageCreate)
}
