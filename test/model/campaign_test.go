package model

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"time"
)

// campaign is how far a long search has come.
type campaign struct {
	Next    uint64        // the first seed that has not been tried
	Took    time.Duration // the searches so far, by the clock on the wall
	Stats   Stats
	Failure string `json:",omitempty"`
}

// campaignStep is how many histories lie between two notes of how far it is.
const campaignStep = 2000

// TestCampaign goes on with a long search that may be interrupted at any time. It
// runs only with the name of a file in BOTNODE_MODEL_CAMPAIGN, which says how far
// it is; BOTNODE_MODEL_SEEDS is where it ends, a million if unset, and
// BOTNODE_MODEL_FOR a duration after which it stops for now.
func TestCampaign(t *testing.T) {
	file := os.Getenv("BOTNODE_MODEL_CAMPAIGN")
	if file == "" {
		t.Skip("a long search: set BOTNODE_MODEL_CAMPAIGN to the file that says how far it is")
	}
	last := uint64(1_000_000)
	if v := os.Getenv("BOTNODE_MODEL_SEEDS"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		last = n
	}
	stop := time.Now().Add(1000 * time.Hour)
	if v := os.Getenv("BOTNODE_MODEL_FOR"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			t.Fatal(err)
		}
		stop = time.Now().Add(d)
	}
	c := campaign{Next: 1}
	switch b, err := os.ReadFile(file); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		t.Fatal(err)
	default:
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatal(err)
		}
	}
	debug.SetGCPercent(400)
	for c.Next <= last && time.Now().Before(stop) {
		began := time.Now()
		v, stats := search(c.Next, int(min(campaignStep, last-c.Next+1)), Options{})
		c.Took += time.Since(began)
		c.Stats.add(stats)
		c.Stats.Histories += stats.Histories
		if v != nil {
			c.Failure = v.Error()
		} else {
			c.Next += uint64(stats.Histories)
			c.Failure = ""
		}
		c.save(t, file)
		if v != nil {
			replay(t, Options{Seed: v.Seed})
			return
		}
	}
	t.Logf("%d of %d seeds hold: %+v", c.Next-1, last, c.Stats)
}

// save notes how far the campaign is, so that an end at any time leaves the file whole.
func (c *campaign) save(t *testing.T, file string) {
	b, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}
