package consensus

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// faultyLog is a log store that fails on request.
type faultyLog struct {
	*Memory
	mu    sync.Mutex
	err   error         // answered by writes
	short bool          // drops the last entry and says nothing
	hang  chan struct{} // writes wait until it is closed
	reads error
	calls atomic.Int64
}

func (f *faultyLog) StoreLog(l *raft.Log) error { return f.StoreLogs([]*raft.Log{l}) }

func (f *faultyLog) StoreLogs(logs []*raft.Log) error {
	f.calls.Add(1)
	f.mu.Lock()
	err, short, hang := f.err, f.short, f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if err != nil {
		return err
	}
	if short {
		logs = logs[:len(logs)-1]
	}
	return f.Memory.StoreLogs(logs)
}

func (f *faultyLog) GetLog(i uint64, l *raft.Log) error {
	if f.reads != nil {
		return f.reads
	}
	return f.Memory.GetLog(i, l)
}

func newGuarded(inner *faultyLog, limit time.Duration) (*guardedLog, *[]error) {
	var fatal []error
	g := newGuard(limit, func(err error) { fatal = append(fatal, err) })
	return &guardedLog{guard: g, inner: inner, stored: func(int, int64, time.Duration) {}}, &fatal
}

func entries(from, to uint64) []*raft.Log {
	var out []*raft.Log
	for i := from; i <= to; i++ {
		out = append(out, &raft.Log{Index: i, Term: 1, Data: []byte(fmt.Sprint(i))})
	}
	return out
}

func TestGuardFailsOnceAndForEver(t *testing.T) {
	t.Parallel()
	broken := errors.New("fsync: input/output error")
	cases := map[string]struct {
		inner *faultyLog
		do    func(*guardedLog) error
	}{
		"error":  {&faultyLog{err: broken}, func(g *guardedLog) error { return g.StoreLogs(entries(1, 2)) }},
		"short":  {&faultyLog{short: true}, func(g *guardedLog) error { return g.StoreLogs(entries(1, 2)) }},
		"nought": {&faultyLog{short: true}, func(g *guardedLog) error { return g.StoreLog(entries(1, 1)[0]) }},
		"read":   {&faultyLog{reads: broken}, func(g *guardedLog) error { return g.GetLog(1, new(raft.Log)) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.inner.Memory = NewMemory()
			g, fatal := newGuarded(tc.inner, time.Minute)
			if err := tc.do(g); !errors.Is(err, ErrStore) {
				t.Fatalf("err = %v", err)
			}
			tc.inner.err, tc.inner.short, tc.inner.reads = nil, false, nil
			calls := tc.inner.calls.Load()
			if err := g.StoreLogs(entries(1, 1)); !errors.Is(err, ErrStore) {
				t.Errorf("a write after the failure: %v", err)
			}
			if err := g.DeleteRange(1, 1); !errors.Is(err, ErrStore) {
				t.Errorf("a delete after the failure: %v", err)
			}
			if tc.inner.calls.Load() != calls {
				t.Error("the store was used after it failed")
			}
			if len(*fatal) != 1 {
				t.Errorf("Fatal was called %d times", len(*fatal))
			}
		})
	}
}

func TestGuardPassesWhatIsHarmless(t *testing.T) {
	t.Parallel()
	g, fatal := newGuarded(&faultyLog{Memory: NewMemory()}, time.Minute)
	if err := g.GetLog(7, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("missing entry: %v", err)
	}
	if err := errors.Join(g.StoreLogs(nil), g.StoreLogs(entries(1, 3)), g.DeleteRange(1, 2)); err != nil {
		t.Error(err)
	}
	if len(*fatal) != 0 {
		t.Errorf("Fatal: %v", *fatal)
	}
}

func TestGuardEndsAHungWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := &faultyLog{Memory: NewMemory(), hang: make(chan struct{})}
		fatal := make(chan error, 1)
		g := newGuard(5*time.Second, func(err error) { fatal <- err })
		l := &guardedLog{guard: g, inner: inner, stored: func(int, int64, time.Duration) {}}
		result := make(chan error, 1)
		start := time.Now()
		go func() { result <- l.StoreLogs(entries(1, 1)) }()
		if err := <-fatal; !errors.Is(err, errStuck) || !errors.Is(err, ErrStore) {
			t.Errorf("fatal with %v", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("noticed after %v", took)
		}
		close(inner.hang)
		if err := <-result; !errors.Is(err, ErrStore) {
			t.Errorf("the late write returned %v", err)
		}
	})
}

func TestGuardedStable(t *testing.T) {
	t.Parallel()
	called := 0
	s := &guardedStable{newGuard(time.Minute, func(error) { called++ }), brokenStable{}}
	if err := s.SetUint64([]byte("CurrentTerm"), 2); !errors.Is(err, ErrStore) {
		t.Error(err)
	}
	if err := s.Set([]byte("LastVoteCand"), nil); !errors.Is(err, ErrStore) {
		t.Error(err)
	}
	if called != 1 {
		t.Errorf("Fatal was called %d times", called)
	}
	if _, err := s.Get(nil); err == nil || err.Error() != "not found" {
		t.Errorf("raft compares this text: %v", err)
	}
}

type brokenStable struct{}

func (brokenStable) Set([]byte, []byte) error         { return errors.New("no space left") }
func (brokenStable) SetUint64([]byte, uint64) error   { return errors.New("no space left") }
func (brokenStable) Get([]byte) ([]byte, error)       { return nil, errors.New("not found") }
func (brokenStable) GetUint64([]byte) (uint64, error) { return 0, errors.New("not found") }

// TestStalledDiskEndsTheLeader: heartbeats alone would keep a leader with a hung disk in office.
func TestStalledDiskEndsTheLeader(t *testing.T) {
	t.Parallel()
	faults := map[string]*faultyLog{}
	fatal := make(chan string, 3)
	c := newCluster(t, 3, func(o *Options) {
		o.StoreTimeout = 200 * time.Millisecond
		o.wrapLog = func(inner raft.LogStore) raft.LogStore {
			faults[o.ID] = &faultyLog{Memory: inner.(*Memory)}
			return faults[o.ID]
		}
		o.Fatal = func(err error) {
			if errors.Is(err, errStuck) {
				fatal <- o.ID
			}
		}
	})
	l := c.Leader()
	hang := make(chan struct{})
	f := faults[l.id]
	f.mu.Lock()
	f.hang = hang
	f.mu.Unlock()
	stuck := l.Propose([]byte("a 1"))
	select {
	case id := <-fatal:
		if id != l.id {
			t.Errorf("%s failed, not the leader %s", id, l.id)
		}
	case <-time.After(patience):
		t.Fatal("Fatal was not called")
	}
	c.Kill(l, true) // what the caller does, by ending the process
	next := c.Leader()
	c.propose(next, "a 1")
	c.EnsureSame()
	close(hang)
	if _, _, err := stuck.Result(); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("the stuck proposal: %v", err)
	}
}

// A process that was stopped finds its timer due at once, however long it was away: that is one step of ten.
func TestWatchCountsStepsAndNotTheClock(t *testing.T) {
	t.Parallel()
	late := 0
	w := newWatch(time.Hour, func() { late++ })
	for range watchSteps - 1 {
		w.tick()
	}
	if late != 0 {
		t.Fatal("late before its steps were over")
	}
	w.tick()
	w.tick()
	if late != 1 {
		t.Errorf("late %d times, want once", late)
	}
	w = newWatch(time.Hour, func() { t.Error("late after its end") })
	w.stop()
	for range watchSteps {
		w.tick()
	}
}
