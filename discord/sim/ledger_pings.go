package sim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ping is one "!ping N" and what became of it.
type ping struct {
	at, first time.Time
	channel   ID
	answers   int
	deduped   int
}

// span is a time during which ping load ran; end is zero while it does.
type span struct{ start, end time.Time }

// pings keeps the score of the ping load. The ledger's lock guards it.
type pings struct {
	list          []ping // ping N is list[N-1]
	undeliverable int
	strays        int // pongs to no ping, or to the wrong channel
	spans         []span
	answered      []time.Time // first answers, in order
}

func newPings() pings { return pings{} }

// answer matches a posted message to its ping: "pong N" in the same channel.
func (p *pings) answer(m *Posted) {
	n, ok := strings.CutPrefix(m.Content, "pong ")
	if !ok {
		return
	}
	i, err := strconv.Atoi(n)
	if err != nil || i < 1 || i > len(p.list) || p.list[i-1].channel != m.Channel {
		p.strays++
		return
	}
	x := &p.list[i-1]
	if m.Deduped {
		x.deduped++
		return
	}
	x.answers++
	if x.answers == 1 {
		x.first = m.At
		p.answered = append(p.answered, m.At)
	}
}

// Summary is the score at one moment.
type Summary struct {
	// Sent is the number of pings that a session took.
	Sent int `json:"sent"`
	// Undeliverable is the number of pings for which no session was alive; they
	// aren't counted as sent.
	Undeliverable int `json:"undeliverable"`
	// AnsweredOnce is the number of pings with exactly one visible answer.
	AnsweredOnce int `json:"answered_once"`
	// Unanswered lists the pings without an answer.
	Unanswered []int `json:"unanswered"`
	// Duplicated lists the pings with more than one visible answer.
	Duplicated []int `json:"duplicated"`
	// Deduped is the number of answers that the nonce made invisible.
	Deduped int `json:"deduped"`
	// Strays is the number of pongs that answer no ping.
	Strays int `json:"strays"`
	// Identifies is the number of IDENTIFYs; IdentifiesOK of those that began a session.
	Identifies   int `json:"identifies"`
	IdentifiesOK int `json:"identifies_ok"`
	// Resumes is the number of RESUMEs; ResumesOK of those that succeeded.
	Resumes   int `json:"resumes"`
	ResumesOK int `json:"resumes_ok"`
	// Events is the number of dispatches written, replays included.
	Events int `json:"events"`
	// LongestSilenceMS is the longest time without a first answer while load ran.
	LongestSilenceMS float64 `json:"longest_silence_ms"`
	// P50MS, P99MS and MaxMS are of the time from ping to first answer.
	P50MS float64 `json:"p50_ms"`
	P99MS float64 `json:"p99_ms"`
	MaxMS float64 `json:"max_ms"`
	// Posted is the number of messages that the bot created.
	Posted int `json:"posted"`
	// Statuses counts the REST answers by status.
	Statuses map[int]int `json:"statuses"`
	// Interactions is the score of the interactions.
	Interactions InteractionSummary `json:"interactions"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Summary counts what is in the ledger now.
func (l *Ledger) Summary() Summary {
	events := 0
	for _, s := range l.sessionLogs() {
		s.mu.Lock()
		events += s.count
		s.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Summary{
		Undeliverable: l.pings.undeliverable, Strays: l.pings.strays, Identifies: len(l.identifies),
		Resumes: len(l.resumes), Events: events, Unanswered: []int{}, Duplicated: []int{}, Statuses: map[int]int{},
		Interactions: l.acts.summary(),
	}
	for _, r := range l.identifies {
		if r.Result == "ok" {
			s.IdentifiesOK++
		}
	}
	for _, r := range l.resumes {
		if r.Result == "ok" {
			s.ResumesOK++
		}
	}
	for _, p := range l.posted {
		if !p.Deduped {
			s.Posted++
		}
	}
	maps.Copy(s.Statuses, l.statuses)
	l.pings.score(&s)
	return s
}

func (l *Ledger) sessionLogs() []*sessionLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.sessions)
}

func (p *pings) score(s *Summary) {
	var lat []time.Duration
	for i := range p.list {
		x := &p.list[i]
		s.Deduped += x.deduped
		if x.at.IsZero() { // undeliverable
			continue
		}
		s.Sent++
		switch x.answers {
		case 0:
			s.Unanswered = append(s.Unanswered, i+1)
			continue
		case 1:
			s.AnsweredOnce++
		default:
			s.Duplicated = append(s.Duplicated, i+1)
		}
		lat = append(lat, x.first.Sub(x.at))
	}
	slices.Sort(lat)
	if n := len(lat); n > 0 {
		s.P50MS, s.P99MS, s.MaxMS = millis(lat[n/2]), millis(lat[min(n-1, n*99/100)]), millis(lat[n-1])
	}
	s.LongestSilenceMS = millis(p.silence(time.Now()))
}

// silence is the longest time without a first answer inside a span of load. It
// begins at the first ping, and an unfinished silence counts as far as it goes.
func (p *pings) silence(now time.Time) time.Duration {
	var longest time.Duration
	for _, sp := range p.spans {
		end := sp.end
		if end.IsZero() {
			end = now
		}
		last := sp.start
		for _, a := range p.answered {
			if a.Before(sp.start) {
				continue
			}
			if a.After(end) {
				break
			}
			longest = max(longest, a.Sub(last))
			last = a
		}
		longest = max(longest, end.Sub(last))
	}
	return longest
}

// Bucket is one bucket of the timeline.
type Bucket struct {
	MS       int64 `json:"ms"`
	Sent     int   `json:"sent"`
	Answered int   `json:"answered"`
}

// Timeline is pings sent and answered for each bucket of time.
type Timeline struct {
	BucketMS         int64     `json:"bucket_ms"`
	Start            time.Time `json:"start"`
	Buckets          []Bucket  `json:"buckets"`
	LongestSilenceMS float64   `json:"longest_silence_ms"`
}

// Timeline counts pings by the time since the first one.
func (l *Ledger) Timeline(bucket time.Duration) Timeline {
	bucket = max(bucket, time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	t := Timeline{BucketMS: bucket.Milliseconds(), Buckets: []Bucket{}}
	t.LongestSilenceMS = millis(l.pings.silence(time.Now()))
	slot := func(at time.Time) *Bucket {
		i := int(at.Sub(t.Start) / bucket)
		for len(t.Buckets) <= i {
			t.Buckets = append(t.Buckets, Bucket{MS: int64(len(t.Buckets)) * t.BucketMS})
		}
		return &t.Buckets[i]
	}
	for i := range l.pings.list {
		x := &l.pings.list[i]
		if x.at.IsZero() {
			continue
		}
		if t.Start.IsZero() {
			t.Start = x.at
		}
		slot(x.at).Sent++
		if x.answers > 0 {
			slot(x.first).Answered++
		}
	}
	return t
}
