package netlab

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLinkOfTwoFaults(t *testing.T) {
	got := Link{Delay: time.Second, Loss: 0.5, Rate: 100}.and(Link{Cut: true, Jitter: time.Second, Loss: 0.5, Rate: 10})
	if want := (Link{Cut: true, Delay: time.Second, Jitter: time.Second, Loss: 0.75, Rate: 10}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// piped is a pipe and what came out of it.
func piped(t *testing.T) (*pipe, *[]time.Duration) {
	t.Helper()
	start, out := time.Now(), &[]time.Duration{}
	p := newPipe(1, 2, func([]byte) { *out = append(*out, time.Since(start)) })
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); p.run(done) }()
	t.Cleanup(func() { close(done); <-ended })
	return p, out
}

func TestPipe(t *testing.T) {
	for name, tt := range map[string]struct {
		link Link
		ok   func(at []time.Duration, lost int) bool
	}{
		"as it is": {Link{}, func(at []time.Duration, lost int) bool {
			return len(at) == 100 && at[99] == 0 && lost == 0
		}},
		"cut": {Link{Cut: true}, func(at []time.Duration, lost int) bool { return len(at) == 0 && lost == 100 }},
		"delay": {Link{Delay: time.Second, Jitter: time.Second}, func(at []time.Duration, lost int) bool {
			return len(at) == 100 && at[0] >= time.Second && at[99] > 1500*time.Millisecond && at[99] <= 2*time.Second
		}},
		"loss": {Link{Loss: 0.5}, func(at []time.Duration, lost int) bool {
			return len(at)+lost == 100 && lost > 30 && lost < 70
		}},
		"rate": {Link{Rate: 1000}, func(at []time.Duration, lost int) bool { // 100 packets of 10 bytes
			return len(at) == 100 && at[99] == time.Second
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, out := piped(t)
				p.set(tt.link)
				for range 100 {
					p.send(make([]byte, 10), time.Now())
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if !tt.ok(*out, p.losses()) {
					t.Errorf("delivered at %v, %d lost", *out, p.losses())
				}
			})
		})
	}
}
