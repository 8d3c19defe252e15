package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// short writes a duration as one would say it.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// millis is short for the simulator's figures.
func millis(ms float64) string { return short(time.Duration(ms * float64(time.Millisecond))) }

// count writes a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return thousands(n) + " " + thing
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// numbers lists numbers.
func numbers(list []int) string {
	parts := make([]string, len(list))
	for i, n := range list {
		parts[i] = strconv.Itoa(n)
	}
	return strings.Join(parts, "+")
}

// shardList names shards.
func shardList(list []int) string {
	if len(list) == 1 {
		return "shard " + numbers(list)
	}
	return "shards " + numbers(list)
}
