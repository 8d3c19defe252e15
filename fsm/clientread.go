package fsm

// ResumePlace says how a client's RESUME is to be answered.
type ResumePlace uint8

// The answers to a RESUME.
const (
	ResumeGoesOn ResumePlace = iota
	ResumeLost               // op 9 false: something between is gone
	ResumeBadSeq             // 4007: there is no such number
)

// HasFrom reports whether a reader of the journal can go on at a position: all
// from there on is retained.
func (b *Bot) HasFrom(pos uint64) bool {
	if pos > b.LastPos {
		return pos == b.LastPos+1
	}
	first := b.RetainedFirst()
	return first != 0 && first <= pos
}

// ResumeClient judges where a client's session goes on after the number s: lost
// if the journal has let go of what follows, or s is in the middle of what the
// session began with.
//
// What the client has confirmed by heartbeats counts, too: if it has cs.Seq still,
// it lacks nothing up to cs.Through, so that a quiet session doesn't get lost
// because the journal moved on under it. One that goes on before what it has
// confirmed may lack what the journal has let go of.
func (b *Bot) ResumeClient(cs *ClientSession, s int64) (next uint64, place ResumePlace) {
	first, last := int64(cs.First)-cs.Base, int64(b.LastPos)-cs.Base
	switch {
	case s > last || s < 0:
		return 0, ResumeBadSeq
	case s < first:
		return 0, ResumeLost
	}
	next = uint64(cs.Base+s) + 1
	if !b.HasFrom(next) && s >= cs.Seq && s < cs.Through && cs.Through <= last {
		next = uint64(cs.Base+cs.Through) + 1
	}
	if !b.HasFrom(next) {
		return 0, ResumeLost
	}
	return next, ResumeGoesOn
}
