package transport

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestRefusalsAreToldWhenTheyLast(t *testing.T) {
	t.Parallel()
	var r refusals
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	refused := &RefusedError{Reason: ErrWrongCluster, Addr: "a"}
	for _, step := range []struct {
		after   time.Duration
		err     error
		lasts   bool
		present bool
	}{
		{0, refused, false, true},
		{time.Second, refused, false, true},
		{2 * time.Second, errors.New("connection refused"), false, true}, // it says nothing
		{refusalLasts, refused, true, true},
		{4 * time.Second, nil, false, false}, // they speak
		{5 * time.Second, refused, false, true},
		{8 * time.Second, refused, true, true},
		{8*time.Second + refusalHolds, refused, false, true}, // it may be another reason
	} {
		if lasting := r.dialled("a", step.err, at(step.after)); (lasting != nil) != step.lasts {
			t.Errorf("%v after %v: lasting %v", step.err, step.after, lasting)
		}
		if present := r.present("a", at(step.after)); (present != nil) != step.present {
			t.Errorf("%v after %v: present %v", step.err, step.after, present)
		}
	}
	if r.present("b", at(0)) != nil || r.present("a", at(time.Minute)) != nil {
		t.Error("a refusal of another address, or of long ago")
	}
	for _, told := range []struct {
		what  string
		after time.Duration
		want  bool
	}{{"x", 0, true}, {"x", time.Second, false}, {"y", time.Second, true}, {"x", refusalAgain, true}, {"y", refusalAgain, false}} {
		if got := r.tell(told.what, at(told.after)); got != told.want {
			t.Errorf("%s after %v: told %v", told.what, told.after, got)
		}
	}
}

// TestRefusalsAreBounded: who is refused for another reason each time fills neither the log nor the memory.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	var r refusals
	now, told := time.Now(), 0
	for i := range 10 * refusalsTold {
		if r.tell(strconv.Itoa(i), now) {
			told++
		}
	}
	if told != refusalsTold || len(r.told) != refusalsTold {
		t.Errorf("%d told, %d kept", told, len(r.told))
	}
	if !r.tell("later", now.Add(refusalAgain)) {
		t.Error("nothing is told after a minute")
	}
}

// TestRefusedIsLoggedOnce: a node of another cluster knocks again at once. Its log and that of whoever refuses it have a line
// each, and it can say why the other is not to be spoken to.
func TestRefusedIsLoggedOnce(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.WarnLevel)
	a := node(t, "a", cluster("c1"))
	b := node(t, "b", func(o *Options) {
		o.ClusterID, o.Logger = func() string { return "c2" }, zap.New(core)
	})
	for range 5 {
		if _, err := a.Probe(testContext(t), b.Addr()); !errors.Is(err, ErrWrongCluster) {
			t.Fatal(err)
		}
	}
	if n := logs.FilterMessage("cluster connection refused").Len(); n != 1 {
		t.Errorf("%d lines: %v", n, logs.All())
	}
	if err := a.Refusal(b.Addr()); !errors.Is(err, ErrWrongCluster) {
		t.Errorf("why they don't speak: %v", err)
	}
	if err := b.Refusal(a.Addr()); err != nil {
		t.Errorf("b, which hasn't dialled: %v", err)
	}
}
