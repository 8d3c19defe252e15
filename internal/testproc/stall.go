package testproc

import "time"

// WatchStalls begins to watch how late timers of this process are, which is how
// long a busy machine keeps any process waiting. The function that it returns ends
// that and tells the worst.
func WatchStalls() func() time.Duration {
	end, worst := make(chan struct{}), make(chan time.Duration)
	go func() {
		const every = 5 * time.Millisecond
		tick := time.NewTicker(every)
		defer tick.Stop()
		last, most := time.Now(), time.Duration(0)
		for {
			select {
			case <-tick.C:
				now := time.Now()
				most, last = max(most, now.Sub(last)-every), now
			case <-end:
				worst <- most
				return
			}
		}
	}()
	return func() time.Duration {
		close(end)
		return <-worst
	}
}
