package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// screen prints the timeline line by line. On a terminal it keeps a live area
// below, which is drawn anew with every line and every tick.
type screen struct {
	w     io.Writer
	p     palette
	live  bool
	width int
	began time.Time

	mu    sync.Mutex // guards what follows, and writes to w
	area  func() []string
	drawn int   // lines of the area that are on the screen
	err   error // the first failed write
}

// event prints a line of the timeline: what happened to whom, and when.
func (s *screen) event(at time.Time, who, format string, args ...any) {
	s.print(s.p.dim(fmt.Sprintf("%5.1f s", at.Sub(s.began).Seconds())) + "  " +
		s.p.cyan(pad(who, 9)) + "  " + fmt.Sprintf(format, args...))
}

// print prints lines above the live area.
func (s *screen) print(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	s.erase(&b)
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	s.draw(&b)
	s.flush(&b)
}

// show sets what the live area has, and draws it; nil removes it.
func (s *screen) show(area func() []string) {
	s.mu.Lock()
	s.area = area
	s.mu.Unlock()
	s.refresh()
}

// refresh draws the live area anew.
func (s *screen) refresh() {
	if !s.live {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	s.erase(&b)
	s.draw(&b)
	s.flush(&b)
}

// erase moves to the first line of the area and clears from there.
func (s *screen) erase(b *strings.Builder) {
	if s.drawn > 0 {
		fmt.Fprintf(b, "\x1b[%dA\x1b[J", s.drawn)
		s.drawn = 0
	}
}

func (s *screen) draw(b *strings.Builder) {
	if !s.live || s.area == nil {
		return
	}
	for _, l := range s.area() {
		b.WriteString(clip(l, s.width) + "\n")
		s.drawn++
	}
}

func (s *screen) flush(b *strings.Builder) {
	if s.err != nil || b.Len() == 0 {
		return
	}
	_, s.err = io.WriteString(s.w, b.String())
}

// failed returns the first error of writing.
func (s *screen) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
