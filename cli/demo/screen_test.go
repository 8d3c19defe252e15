package demo

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPlainTimelineGolden(t *testing.T) {
	var b strings.Builder
	s := &screen{w: &b, began: zero}
	s.show(func() []string { return []string{"the live area"} })
	s.event(ms(250), "mike", "botnode join %s", "127.0.0.1:7101")
	s.event(ms(12345), "joe", "%s 4711", s.p.red("kill -9"))
	s.refresh()
	golden(t, "timeline.txt", strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n"))
}

func TestLiveAreaIsDrawnBelow(t *testing.T) {
	var b strings.Builder
	s := &screen{w: &b, live: true, width: 9, began: zero}
	take := func() string { out := b.String(); b.Reset(); return out }
	s.print("one")
	if got := take(); got != "one\n" {
		t.Errorf("without an area: %q", got)
	}
	s.show(func() []string { return []string{"live", "too long for it"} })
	if got := take(); got != "live\ntoo long \n" {
		t.Errorf("drawn: %q", got)
	}
	s.print("two")
	if got := take(); got != "\x1b[2A\x1b[Jtwo\nlive\ntoo long \n" {
		t.Errorf("redrawn: %q", got)
	}
	s.show(nil)
	if got := take(); got != "\x1b[2A\x1b[J" {
		t.Errorf("erased: %q", got)
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"abc":                  "abc",
		"abcdef":               "abcd",
		"▆▆▆▆▆▆":               "▆▆▆▆",
		"\x1b[1mab\x1b[0mcdef": "\x1b[1mab\x1b[0mcd\x1b[0m",
	} {
		if got := clip(in, 4); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

type brokenPipe struct{ writes int }

func (b *brokenPipe) Write([]byte) (int, error) { b.writes++; return 0, errors.New("broken pipe") }

func TestScreenStopsAtTheFirstFailedWrite(t *testing.T) {
	w := &brokenPipe{}
	s := &screen{w: w, began: time.Now()}
	s.print("one")
	s.print("two")
	if s.failed() == nil || w.writes != 1 {
		t.Errorf("%v after %d writes", s.failed(), w.writes)
	}
}
