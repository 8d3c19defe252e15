package demo

import (
	"slices"
	"testing"
	"time"
)

func TestSpark(t *testing.T) {
	// None, less than any level, a quarter, par, catching up, off the scale.
	if got := spark([]int{0, 1, 5, 20, 24, 27, 500}, 20); got != "·▁▂▆▇██" {
		t.Error(got)
	}
	if got := paintSpark(true, "·▁▆"); got != "\x1b[1;31m·\x1b[0m\x1b[33m▁\x1b[0m\x1b[32m▆\x1b[0m" {
		t.Errorf("%q", got)
	}
	if got := paintSpark(false, "·▁▆"); got != "·▁▆" {
		t.Errorf("%q", got)
	}
}

func TestBucketed(t *testing.T) {
	got := bucketed(at(0, -1, 0, 9, 10, 29, 30), zero, 10*time.Millisecond, 3)
	if want := []int{2, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAxis(t *testing.T) {
	marks := []mark{
		{ms(-10), "before"}, {ms(20), "kill"}, {ms(50), "close by"}, {ms(150), "far"}, {ms(190), "at the end"}, {ms(500), "beyond"},
	}
	got := axis(marks, zero, 10*time.Millisecond, 20)
	want := []string{
		"  ╰ kill       ╰ far",
		"     ╰ close by",
		"        at the end ╯",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestChartGolden(t *testing.T) {
	var list []answer
	for n := 0; n < 1200; n += 5 { // a ping every 5 ms, to each shard in turn
		shard := n / 5 % shards
		switch {
		case shard == 0 && n >= 550 && n < 690: // answered late
			list = append(list, at(0, 700)...)
		case n == 1000: // never
		default:
			list = append(list, at(shard, n)...)
		}
	}
	rows := perShard(list, zero, bucket, 12)
	golden(t, "chart.txt", chart(false, "answers per 100 ms", rows, axis([]mark{{ms(550), "kill -9 joe"}}, zero, bucket, chartWidth)))
}
