//go:build unix

package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/testproc"
)

// startMirror starts the example that mirrors events into a file. It reads from
// the first of the nodes while that lives, then from the next.
func (c *cluster) startMirror(file string, ids ...string) *testproc.Proc {
	c.t.Helper()
	args := []string{"-file", file}
	for _, id := range ids {
		args = append(args, "http://"+c.nodes[id].http)
	}
	p, err := testproc.Start(testproc.Options{Path: program(c.t, "./examples/mirror"), Args: args, Log: file + ".log"})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(p.Close)
	return p
}

// mirrored is a line of a mirror.
type mirrored struct {
	pos  uint64
	kind string
	data string
}

func (c *cluster) mirrorLines(file string) (lines []mirrored) {
	c.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	in := bufio.NewReader(bytes.NewReader(b))
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return lines // the rest is being written
		}
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		pos, err := strconv.ParseUint(parts[0], 10, 64)
		if err != nil || len(parts) != 3 {
			c.t.Fatalf("a line of the mirror: %q", line)
		}
		lines = append(lines, mirrored{pos, parts[1], parts[2]})
	}
}

// waitMirror waits until the mirror has all events of the journal, or n lines.
func (c *cluster) waitMirror(file string, n int) {
	c.t.Helper()
	c.poll("the mirror is up to date", 30*time.Second, func() error {
		lines := c.mirrorLines(file)
		if n > 0 {
			return yes(len(lines) >= n, "%d lines of %d", len(lines), n)
		}
		last := c.status().Bots[0].LastPos
		return yes(len(lines) > 0 && lines[len(lines)-1].pos == last, "%d lines, the journal is at %d", len(lines), last)
	})
}

// TestMirrorOverDeaths kills under load the node that a mirror reads from, which
// leads and owns a shard, then the next one, and the mirror itself: it has every
// position exactly once, in order.
func TestMirrorOverDeaths(t *testing.T) {
	parallel(t)
	c := newCluster(t, simOptions(3))
	c.Three()
	first := c.Leader()
	others := slices.DeleteFunc(c.alive(), func(id string) bool { return id == first })
	order := append([]string{first}, others...)
	file := filepath.Join(c.dir, "events.tsv")
	m := c.startMirror(file, order...)
	c.waitMirror(file, 1)
	deaths := 0
	for range max(2, rounds(t)) {
		c.Load(roundPings, func() {
			c.Kill9(order[0])
			deaths++
		})
		c.Restart(order[0])
		c.WaitReady()
		c.Load(roundPings, func() {
			// The stream is at the second node by now: nothing else was left to read from.
			c.Kill9(order[1])
			if err := m.Kill(); err != nil {
				t.Fatal(err)
			}
			deaths++
		})
		c.Restart(order[1])
		m = c.startMirror(file, order...)
		c.WaitReady()
	}
	c.WaitRead()
	c.waitMirror(file, 0)
	c.Unharmed()

	lines := c.mirrorLines(file)
	pings := map[string]int{}
	for i, l := range lines {
		if l.kind != "event" || l.pos != uint64(i)+1 {
			t.Fatalf("line %d: position %d, %s: %.200s", i+1, l.pos, l.kind, l.data)
		}
		var ev struct {
			Type string
			Data struct{ Content string }
		}
		if err := json.Unmarshal([]byte(l.data), &ev); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if strings.HasPrefix(ev.Data.Content, "!ping ") {
			pings[ev.Data.Content]++
		}
	}
	s := c.sim.Ledger().Summary()
	for ping, n := range pings {
		if n != 1 {
			t.Errorf("%q is there %d times", ping, n)
		}
	}
	if len(pings) != s.Sent {
		t.Errorf("%d pings are in the mirror, Discord sent %d", len(pings), s.Sent)
	}
	log := m.Log()
	t.Logf("FIGURE mirror: %d positions, each once and in order, over %d deaths of the node it read from and %d of its own; %d pings of %d sent; %d connections",
		len(lines), deaths, deaths/2, len(pings), s.Sent, strings.Count(log, "reading from"))
	for _, id := range order[:2] {
		if want := fmt.Sprintf("reading from http://%s after", c.nodes[id].http); !strings.Contains(log, want) {
			t.Errorf("it never read from %s: %s", id, log)
		}
	}
}
