package shard

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

var (
	ownerShard = fsm.ShardKey{Layout: 1}
	nodeA      = fsm.NodeRef{ID: "a", Inc: 1}
	nodeB      = fsm.NodeRef{ID: "b", Inc: 1}
)

// ownerBench drives an Owner.
type ownerBench struct {
	t    *testing.T
	o    *Owner
	now  Time
	view View
	seen []Action
}

// newOwnerBench returns the owner of a shard with a session, fresh for a day.
func newOwnerBench(t *testing.T) *ownerBench {
	return &ownerBench{
		t:   t,
		now: time.Hour,
		o: &Owner{
			Bot: "default", Shard: ownerShard, Self: nodeA, Timing: DefaultTiming(), Rand: func() float64 { return 0.5 },
		},
		view: View{Generation: 1, Epoch: 5, Owner: nodeA, SID: "s", URL: "wss://s", C: 10, Sessions: 1},
	}
}

func (b *ownerBench) step(in Input) string {
	actions := append([]Action(nil), b.o.Step(b.now, in)...)
	b.seen = append(b.seen, actions...)
	return names(actions)
}

// names prints actions as a test wants to read them.
func names(actions []Action) string {
	var out []string
	for _, a := range actions {
		name := reflect.TypeOf(a).Name()
		switch a := a.(type) {
		case Propose:
			name = reflect.TypeOf(a.Cmd).Elem().Name()
			if ev, ok := a.Cmd.(*fsm.Events); ok {
				name = fmt.Sprintf("Events(%d..%d)", ev.Prev, ev.Evs[len(ev.Evs)-1].S)
			}
		case Resume:
			name = fmt.Sprintf("Resume(%d)", a.Seq)
		case Dial:
			name = "Dial(" + strings.TrimPrefix(a.URL, "wss://") + ")"
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func (b *ownerBench) apply(f func(v *View)) string {
	if f != nil {
		f(&b.view)
	}
	return b.step(Applied{View: b.view, FreshUntil: b.now + 24*time.Hour})
}

func (b *ownerBench) want(got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Fatalf("got %q, want %q", got, want)
	}
}

func (b *ownerBench) conn() uint64 { return b.o.conn.id }

func (b *ownerBench) read(s int64) string {
	return b.step(EventRead{Conn: b.conn(), Event: fsm.Event{S: s, Type: "X"}})
}

// last returns the newest proposal.
func (b *ownerBench) last() Propose {
	for _, a := range slices.Backward(b.seen) {
		if p, ok := a.(Propose); ok {
			return p
		}
	}
	b.t.Fatal("nothing was proposed")
	return Propose{}
}

func (b *ownerBench) answer(r fsm.Result) string { return b.step(Answered{ID: b.last().ID, Result: r}) }

// live brings the owner to events that flow.
func (b *ownerBench) live() {
	b.t.Helper()
	b.want(b.apply(nil), "Dial(s)")
	b.want(b.step(Connected{Conn: b.conn()}), "Resume(10)")
}

// permit brings the owner to HELLO without a session, with a permit.
func (b *ownerBench) identify() {
	b.t.Helper()
	b.want(b.apply(func(v *View) { v.SID = "" }), "Dial()")
	b.want(b.step(Connected{Conn: b.conn()}), "AskPermit")
	b.want(b.apply(func(v *View) {
		v.HasPermit, v.Permit = true, fsm.PermitHolder{Shard: ownerShard, Epoch: 5, Ask: b.o.askSeq}
	}), "Identify Clear")
}

func TestOwnerResumesFromWhatIsCommitted(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.want(b.read(11), "Events(10..11)")
	b.want(b.read(13), "")
	b.want(b.read(13), "") // a repeat
	b.want(b.answer(fsm.Result{C: 11}), "Events(11..13)")
	b.apply(func(v *View) { v.C = 11 })
	b.want(b.step(Closed{Conn: b.conn()}), "Dial(s)")
	b.want(b.step(Connected{Conn: b.conn()}), "Resume(11)")
}

func TestOwnerIsQuietUnlessFresh(t *testing.T) {
	b := newOwnerBench(t)
	b.want(b.step(Applied{View: b.view, FreshUntil: b.now}), "")
	b.want(b.step(Applied{View: b.view, FreshUntil: b.now + 10}), "Dial(s)")
	b.now += 10
	b.want(b.step(Connected{Conn: b.conn()}), "")
	b.want(b.step(Applied{View: b.view, FreshUntil: b.now + 1}), "Resume(10)")
}

// TestOwnerTakesNothingBackOnOldNews: a session that is lost right after it was
// resumed may be another's, of which a node that is cut off hears nothing.
func TestOwnerTakesNothingBackOnOldNews(t *testing.T) {
	b := newOwnerBench(t)
	fresh := DefaultTiming().Fresh
	b.want(b.step(Applied{View: b.view, FreshUntil: b.now + fresh}), "Dial(s)")
	b.want(b.step(Connected{Conn: b.conn()}), "Resume(10)")
	b.now += fresh / 2
	b.want(b.step(Closed{Conn: b.conn()}), "Dial(s)")
	b.want(b.step(Connected{Conn: b.conn()}), "")
	if at, ok := b.o.Deadline(b.now); !ok || at > b.now+b.o.Timing.Retry {
		t.Errorf("looks again at %v, %v", at-b.now, ok)
	}
	b.want(b.step(Applied{View: b.view, FreshUntil: b.now + fresh}), "") // asked before the loss
	b.want(b.step(Applied{View: b.view, FreshUntil: b.now + fresh + 1}), "Resume(10)")
	b.now += fresh // after that long it is Discord's doing
	b.want(b.step(Applied{View: b.view, FreshUntil: b.now + fresh/2}), "")
	b.want(b.step(Closed{Conn: b.conn()}), "")
	b.now += b.o.backoff()
	b.want(b.step(Tick{}), "Dial()")
	b.want(b.step(Connected{Conn: b.conn()}), "Resume(10)")
}

func TestOwnerIsFenced(t *testing.T) {
	for name, f := range map[string]func(v *View){
		"by a grant to another": func(v *View) { v.Epoch, v.Owner = 6, nodeB },
		"by a grant to itself":  func(v *View) { v.Epoch = 6 },
		"by its death":          func(v *View) { v.Owner = fsm.NodeRef{} },
		"by a restore":          func(v *View) { v.Generation, v.Epoch = 2, 3 },
	} {
		t.Run(name, func(t *testing.T) {
			b := newOwnerBench(t)
			b.live()
			b.read(11)
			got := b.apply(f)
			if !strings.HasPrefix(got, "Drop") || b.o.BufferedEvents() != 0 {
				t.Fatalf("%s, %d events kept", got, b.o.BufferedEvents())
			}
			if dials := strings.Contains(got, "Dial"); dials != b.o.Mine() {
				t.Errorf("%s, mine %v", got, b.o.Mine())
			}
		})
	}
}

func TestOwnerNeverDialsUnderADeadEpoch(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.read(11)
	b.want(b.answer(fsm.Result{Code: fsm.Fenced, Epoch: 6}), "Drop")
	b.now += time.Minute
	b.want(b.step(Tick{}), "")
	b.want(b.apply(func(v *View) { v.Epoch = 7 }), "Dial(s)")
}

// A restore may bring epochs back that an older generation has used up.
func TestOwnerForgetsDeadEpochsOfAnOlderGeneration(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.want(b.apply(func(v *View) { v.Generation, v.Epoch, v.Owner = 2, 2, fsm.NodeRef{} }), "Drop")
	b.want(b.apply(func(v *View) { v.Epoch, v.Owner = 3, nodeA }), "Dial(s)")
}

func TestOwnerRepeatsWhatIsUnknown(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.read(11)
	first := b.last()
	b.want(b.step(Answered{ID: first.ID, Unknown: true}), "")
	b.read(12)
	b.now += b.o.Timing.Retry
	b.want(b.step(Tick{}), "Events(10..11)")
	if again := b.last(); again.ID != first.ID || again.Cmd != first.Cmd || again.Generation != first.Generation {
		t.Errorf("repeated as %+v", again)
	}
	b.want(b.apply(func(v *View) { v.C = 11 }), "Events(11..12)") // applied, the answer is lost
}

func TestOwnerAfterAGap(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.read(11)
	b.read(12)
	b.want(b.answer(fsm.Result{Code: fsm.Gap, C: 10}), "Events(10..12)") // the buffer covers it
	b.want(b.answer(fsm.Result{Code: fsm.Gap, C: 8}), "Drop Dial(s)")    // it does not
}

func TestOwnerMarksAJump(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.read(14)
	if ev, _ := b.last().Cmd.(*fsm.Events); !ev.Jump || ev.Prev != 10 {
		t.Errorf("%+v", ev)
	}
	b.read(18)
	b.answer(fsm.Result{C: 14})
	if ev, _ := b.last().Cmd.(*fsm.Events); ev.Jump {
		t.Errorf("numbers may skip on a live connection: %+v", ev)
	}
}

func TestOwnerIdentifies(t *testing.T) {
	b := newOwnerBench(t)
	b.identify()
	b.want(b.apply(func(v *View) { v.HasPermit = false }), "")
	ready := ReadyRead{Conn: b.conn(), SID: "new", URL: "wss://new", S: 1}
	b.want(b.step(ready), "Ready")
	if r, _ := b.last().Cmd.(*fsm.Ready); r.After != 1 || r.Epoch != 5 {
		t.Errorf("%+v", r)
	}
	b.want(b.read(2), "") // not before READY is applied
	b.want(b.answer(fsm.Result{}), "")
	b.want(b.apply(func(v *View) { v.SID, v.C, v.Sessions = "new", 1, 2 }), "Events(1..2)")
	if b.o.Phase() != Live {
		t.Errorf("phase %v", b.o.Phase())
	}
}

func TestOwnerSpendsAPermitOnce(t *testing.T) {
	b := newOwnerBench(t)
	b.identify()
	b.want(b.step(Closed{Conn: b.conn()}), "Dial()") // before READY; the permit still shows
	b.want(b.step(Connected{Conn: b.conn()}), "")
	b.now += b.o.Timing.Ask
	b.want(b.apply(func(v *View) { v.HasPermit = false }), "AskPermit")
}

func TestOwnerIgnoresAnOldPermit(t *testing.T) {
	b := newOwnerBench(t)
	b.apply(func(v *View) { v.SID = "" })
	b.want(b.step(Connected{Conn: b.conn()}), "AskPermit")
	b.now += b.o.Timing.Permit
	b.want(b.apply(func(v *View) {
		v.HasPermit, v.Permit = true, fsm.PermitHolder{Shard: ownerShard, Epoch: 5, Ask: 1}
	}), "Clear")
}

func TestOwnerReadyRefused(t *testing.T) {
	b := newOwnerBench(t)
	b.identify()
	b.step(ReadyRead{Conn: b.conn(), SID: "late", S: 1})
	b.want(b.answer(fsm.Result{Code: fsm.Refused}), "Drop")
	b.now += b.o.Timing.Retry
	b.want(b.apply(func(v *View) { v.SID, v.URL, v.Sessions = "other", "wss://other", 2 }), "Dial(other)")
}

func TestOwnerLosesItsSession(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.want(b.step(Invalidated{Conn: b.conn()}), "Drop Lost")
	b.now += time.Minute
	b.want(b.step(Tick{}), "") // not under the session that is over
	b.want(b.apply(func(v *View) { v.SID = "" }), "Dial()")
}

// A node that lags behind its answers must not fill the log with repeats.
func TestOwnerWaitsForTheStateAfterAnAnswer(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.want(b.step(Invalidated{Conn: b.conn()}), "Drop Lost")
	b.want(b.answer(fsm.Result{Code: fsm.Old}), "")
	b.want(b.step(Tick{}), "")
	b.now += b.o.Timing.Ask
	b.want(b.step(Tick{}), "Lost")
	b.want(b.apply(func(v *View) { v.SID = "" }), "")
	b.now += time.Minute
	b.want(b.step(Tick{}), "Dial()")

	b = newOwnerBench(t)
	b.identify()
	b.want(b.answer(fsm.Result{Code: fsm.Old}), "")
	b.want(b.step(Closed{Conn: b.conn()}), "Dial()")
	b.want(b.step(Connected{Conn: b.conn()}), "")
	b.want(b.apply(nil), "")
}

func TestOwnerKeepsAResumableSession(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.want(b.step(Invalidated{Conn: b.conn(), Resumable: true}), "Drop")
	b.now += 5 * time.Second
	b.want(b.step(Tick{}), "Dial(s)")
}

func TestOwnerPlannedMove(t *testing.T) {
	for name, released := range map[string]bool{"the old owner says so": true, "in silence": false} {
		t.Run(name, func(t *testing.T) {
			b := newOwnerBench(t)
			b.want(b.apply(func(v *View) { v.Owner = nodeB }), "")
			b.want(b.step(Announced{Epoch: 6}), "Dial(s)")
			b.want(b.step(Connected{Conn: b.conn()}), "Prepared")
			b.want(b.step(Announced{Epoch: 6}), "Prepared") // repeated
			b.want(b.apply(func(v *View) { v.Epoch, v.Owner, v.C = 6, nodeA, 20 }), "")
			if released {
				b.want(b.step(HandedOver{Epoch: 6}), "Resume(20)")
				return
			}
			if at, ok := b.o.Deadline(b.now); !ok || at != b.now+b.o.Timing.Handoff {
				t.Fatalf("deadline %v %v", at, ok)
			}
			b.now += b.o.Timing.Handoff
			b.want(b.step(Tick{}), "Resume(20)")
		})
	}
}

func TestOwnerPlannedMoveThatDoesNotCome(t *testing.T) {
	b := newOwnerBench(t)
	b.apply(func(v *View) { v.Owner = nodeB })
	b.step(Announced{Epoch: 6})
	b.want(b.step(Connected{Conn: b.conn()}), "Prepared")
	b.now += b.o.Timing.Prepare
	b.want(b.step(Tick{}), "Drop")
	b.now += time.Minute
	b.want(b.step(Tick{}), "")
}

// What was prepared for one announcement does for another: an epoch that a leader
// announced before a restore may be above all that come after it.
func TestOwnerPreparesForTheLastAnnouncement(t *testing.T) {
	b := newOwnerBench(t)
	b.apply(func(v *View) { v.Owner = nodeB })
	b.step(Announced{Epoch: 9})
	b.want(b.step(Connected{Conn: b.conn()}), "Prepared")
	b.want(b.step(Announced{Epoch: 6}), "Prepared")
	if p := b.seen[len(b.seen)-1]; p != (Prepared{Epoch: 6}) {
		t.Errorf("%+v", p)
	}
	b.want(b.apply(func(v *View) { v.Epoch, v.Owner, v.C = 6, nodeA, 20 }), "")
	b.want(b.step(HandedOver{Epoch: 6}), "Resume(20)")
}

func TestOwnerTellsTheNextOne(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.want(b.apply(func(v *View) { v.Epoch, v.Owner = 6, nodeB }), "Drop Released")
	if r := b.seen[len(b.seen)-1]; r != (Released{To: nodeB, Epoch: 6}) {
		t.Errorf("%+v", r)
	}
}

// An operator's disconnect ends the connection and not the session, and nothing
// begins again before a connect.
func TestOwnerIsDisconnected(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.want(b.apply(func(v *View) { v.Epoch, v.Owner = 6, fsm.NodeRef{} }), "Drop")
	b.now += time.Minute
	b.want(b.step(Tick{}), "")
	b.want(b.apply(func(v *View) { v.Epoch, v.Owner = 7, nodeA }), "Dial(s)")
}

func TestOwnerGivesUpOnSilence(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	at, ok := b.o.Deadline(b.now)
	if !ok || at != b.now+b.o.Timing.Answer {
		t.Fatalf("deadline %v %v", at, ok)
	}
	b.now = at
	b.want(b.step(Tick{}), "Drop Dial(s)")
}

func TestOwnerReconnects(t *testing.T) {
	b := newOwnerBench(t)
	b.want(b.apply(nil), "Dial(s)")
	var dialled []string
	for range 6 {
		got := b.step(Closed{Conn: b.conn(), Verdict: discord.VerdictResume})
		for got == "" {
			b.now += 50 * time.Millisecond
			got = b.step(Tick{})
		}
		dialled = append(dialled, got)
	}
	want := "Dial(s) Dial() Dial(s) Dial() Dial(s) Dial()"
	b.want(strings.Join(dialled, " "), want)
}

func TestOwnerBacksOffFromReconnectRequests(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.want(b.step(ReconnectAsked{Conn: b.conn()}), "Drop Dial(s)") // the first costs nothing
	b.step(Connected{Conn: b.conn()})
	b.want(b.step(ReconnectAsked{Conn: b.conn()}), "Drop")
}

func TestOwnerStopsForGood(t *testing.T) {
	b := newOwnerBench(t)
	b.live()
	b.want(b.step(Closed{Conn: b.conn(), Verdict: discord.VerdictFatal}), "")
	b.now += time.Hour
	b.want(b.step(Tick{}), "")
	b.want(b.step(Restart{}), "Dial(s)")
}

func TestOwnerHeartbeats(t *testing.T) {
	b := newOwnerBench(t)
	b.identify()
	if _, ok := b.o.HeartbeatSeq(b.conn()); ok {
		t.Error("a sequence before READY")
	}
	b.step(ReadyRead{Conn: b.conn(), SID: "new", S: 1})
	b.read(2)
	if _, ok := b.o.HeartbeatSeq(b.conn()); ok {
		t.Error("a sequence before READY is applied")
	}
	b.apply(func(v *View) { v.SID, v.C, v.HasPermit = "new", 1, false })
	b.read(3)
	if seq, ok := b.o.HeartbeatSeq(b.conn()); !ok || seq != 1 {
		t.Errorf("%d %v, committed is 1", seq, ok)
	}
	if _, ok := b.o.HeartbeatSeq(b.conn() - 1); ok {
		t.Error("a sequence for another connection")
	}
}

// TestConfigurationCuresARefusal: what Discord refused for good (4014, say) is
// tried again when the bot's configuration changes, and not before.
func TestConfigurationCuresARefusal(t *testing.T) {
	b := newOwnerBench(t)
	b.want(b.apply(nil), "Dial(s)")
	b.want(b.step(Closed{Conn: b.conn(), Verdict: discord.VerdictFatal}), "")
	b.now += time.Hour
	b.want(b.step(Tick{}), "")
	b.want(b.apply(func(v *View) { v.C++ }), "")
	b.want(b.apply(func(v *View) { v.ConfigRev++ }), "Dial(s)")
	b.want(b.step(Closed{Conn: b.conn(), Verdict: discord.VerdictFatal}), "")
	b.now += time.Hour
	b.want(b.apply(func(v *View) { v.Epoch, v.Owner = 6, fsm.NodeRef{} }), "")
	b.want(b.apply(func(v *View) { v.Epoch, v.Owner = 7, nodeA }), "Dial(s)") // an operator has connected it again
}

// TestOwnerEndsASessionThatACommandHasEnded closes what nobody will resume, and
// drops without a word what another owner will.
func TestOwnerEndsASessionThatACommandHasEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*View)
		end    bool
	}{
		"ended by a command":    {func(v *View) { v.SID, v.URL = "", "" }, true},
		"moved to another node": {func(v *View) { v.Epoch, v.Owner = v.Epoch+1, nodeB }, false},
		"another generation":    {func(v *View) { v.Generation++ }, false},
		"ended with its READY":  {func(v *View) { v.SID, v.URL = "", ""; v.Sessions++ }, true},
	} {
		b := newOwnerBench(t)
		if b.live(); strings.Contains(name, "READY") {
			b.o.conn.readying, b.o.conn.after, b.view.SID = true, b.view.Sessions, ""
		}
		b.seen = nil
		b.apply(tt.change)
		d, ok := b.seen[0].(Drop)
		if !ok || d.End != tt.end {
			t.Errorf("%s: %+v", name, b.seen)
		}
	}
}
