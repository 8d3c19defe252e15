package gateway

import "time"

// Discord allows 120 payloads in any 60 seconds and ends the connection at the
// next one (events/gateway.mdx, "Rate Limiting"). The window is a little longer
// here, since payloads can bunch up on their way.
const (
	sendLimit  = 120
	sendWindow = 60*time.Second + 500*time.Millisecond
)

// MaxPayload is the largest payload that Discord takes
// (events/gateway.mdx, "Sending Events").
const MaxPayload = 4096

// limiter is a sliding window over the payloads that are not heartbeats.
// Heartbeats must never wait, so instead of being counted they have a part of
// the allowance set aside for them.
type limiter struct {
	at   [sendLimit]time.Duration // when the last payloads were sent, a ring
	next int                      // where the next one goes
	n    int                      // how many are in the ring
	room int                      // how many may be in a window
}

// reserve sets aside what heartbeats of this interval need in a window, and four
// more for those that the server asks for. At least half is left for payloads:
// an interval that short is not Discord's.
func (l *limiter) reserve(interval time.Duration) {
	beats := sendLimit / 2
	if interval > 0 {
		beats = min(beats, int(sendWindow/interval)+1+4)
	}
	l.room = sendLimit - beats
}

// wait is how long from now a payload must wait, 0 if it may go.
func (l *limiter) wait(now time.Duration) time.Duration {
	if l.n < l.room {
		return 0
	}
	oldest := l.at[(l.next-l.room+2*sendLimit)%sendLimit]
	return max(0, oldest+sendWindow-now)
}

// took notes that a payload is sent now.
func (l *limiter) took(now time.Duration) {
	l.at[l.next] = now
	l.next = (l.next + 1) % sendLimit
	l.n = min(l.n+1, sendLimit)
}
