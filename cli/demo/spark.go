package demo

import (
	"strings"
	"time"
	"unicode/utf8"
)

// levels are the heights of a bar. Nothing at all has a sign of its own: the
// difference between few answers and none is what the demo is about.
var levels = []rune("▁▂▃▄▅▆▇█")

const none = '·'

// parLevel is the height of a bucket that has what was asked for in its time.
// It is below the top, so that catching up shows above it.
const parLevel = 6

// spark draws one character a bucket. par is the count of a bucket in which
// every ping is answered at once.
func spark(counts []int, par float64) string {
	var b strings.Builder
	for _, n := range counts {
		if n == 0 {
			b.WriteRune(none)
			continue
		}
		level := int(float64(n)*parLevel/par + 0.5)
		b.WriteRune(levels[min(max(level, 1), len(levels))-1])
	}
	return b.String()
}

// paintSpark colours what is below par: none red, few yellow.
func paintSpark(p palette, line string) string {
	if !p {
		return line
	}
	var b strings.Builder
	for _, r := range line {
		switch {
		case r == none:
			b.WriteString(p.red(string(r)))
		case r < levels[parLevel-2]:
			b.WriteString(p.yellow(string(r)))
		default:
			b.WriteString(p.green(string(r)))
		}
	}
	return b.String()
}

// mark is a moment to point at below a sparkline.
type mark struct {
	at   time.Time
	text string
}

// axis writes marks below a sparkline that begins at start and has one column
// a bucket. A mark that would cover the one before it, or that is outside,
// goes to the next line or is left out.
func axis(marks []mark, start time.Time, bucket time.Duration, width int) []string {
	var lines [][]rune
	for _, m := range marks {
		col := int(m.at.Sub(start) / bucket)
		if col < 0 || col >= width {
			continue
		}
		text := []rune("╰ " + m.text)
		if col+len(text) > width { // no room on the right: the text ends at its mark
			text = []rune(m.text + " ╯")
			col -= len(text) - 1
		}
		if col < 0 {
			continue
		}
		lines = place(lines, text, col)
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = string(l)
	}
	return out
}

// place puts text at col of the first line that is free there.
func place(lines [][]rune, text []rune, col int) [][]rune {
	for i, l := range lines {
		if len(l) < col {
			lines[i] = append([]rune(pad(string(l), col)), text...)
			return lines
		}
	}
	return append(lines, append([]rune(strings.Repeat(" ", col)), text...))
}

// bucketed counts moments by bucket, from start on, in n buckets.
func bucketed(list []answer, start time.Time, bucket time.Duration, n int) []int {
	out := make([]int, n)
	for _, a := range list {
		if d := a.at.Sub(start); d >= 0 && int(d/bucket) < n {
			out[d/bucket]++
		}
	}
	return out
}

// columns is the number of columns that a line without colours takes.
func columns(s string) int { return utf8.RuneCountInString(s) }
