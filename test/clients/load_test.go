//go:build clients

package clients

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// asked is a "!ping X" of one of the crew, and what Discord has of its answer.
type asked struct {
	at, first       time.Time
	channel         sim.ID
	visible, hidden int // messages that answer it; hidden are those that their nonce swallowed
}

// book is what was asked and answered, read from the simulator's ledger.
type book struct {
	sim  *sim.Server
	from int // of the ledger's posted messages
	asks map[string]*asked
	n    map[string]int // pings by client
}

func newBook(s *sim.Server) *book {
	return &book{sim: s, asks: map[string]*asked{}, n: map[string]int{}}
}

// ask sends the next ping of a client.
func (b *book) ask(client string, channels []sim.ID) error {
	n := b.n[client]
	b.n[client]++
	x := fmt.Sprintf("%s-%d", client, n)
	a := &asked{at: time.Now(), channel: channels[n%len(channels)]}
	b.asks[x] = a
	said, err := b.sim.Say(sim.Say{Channel: a.channel, Content: "!ping " + x})
	if err == nil && said.Delivered == 0 {
		err = fmt.Errorf("discord delivers ping %s to nobody", x)
	}
	return err
}

// read takes what was posted since the last time.
func (b *book) read() error {
	posted := b.sim.Ledger().PostedFrom(b.from)
	b.from += len(posted)
	for _, p := range posted {
		x, pong := strings.CutPrefix(p.Content, "pong ")
		if !pong {
			continue
		}
		a := b.asks[x]
		switch {
		case a == nil || a.channel != p.Channel:
			return fmt.Errorf("%q answers nothing", p.Content)
		case p.Deduped:
			a.hidden++
		default:
			a.visible++
			if a.first.IsZero() {
				a.first = p.At
			}
		}
	}
	return nil
}

// open lists the pings without an answer.
func (b *book) open() (xs []string) {
	for x, a := range b.asks {
		if a.visible == 0 {
			xs = append(xs, x)
		}
	}
	slices.Sort(xs)
	return xs
}

// load sends n pings to each client at a rate of its own, does something when a
// third of them are sent, and waits until all are answered.
func (c *cluster) load(b *book, crew []*client, n, rate int, during func()) {
	c.t.Helper()
	var channels []sim.ID
	for _, g := range c.sim.GuildIDs() {
		channels = append(channels, c.sim.TextChannels(g)...)
	}
	third, done := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for i := range n {
			<-tick.C
			for _, cl := range crew {
				if err := b.ask(cl.name, channels); err != nil {
					done <- err
					return
				}
			}
			if i == n/3 {
				close(third)
			}
		}
		done <- nil
	}()
	select {
	case <-third:
	case err := <-done:
		c.t.Fatal(err)
	}
	during()
	if err := <-done; err != nil {
		c.t.Fatal(err)
	}
	c.poll("every ping is answered", time.Minute, func() error {
		if err := b.read(); err != nil {
			c.t.Fatal(err)
		}
		if open := b.open(); len(open) > 0 {
			return fmt.Errorf("%d of %d are not: %q%s", len(open), len(b.asks), open[:min(8, len(open))], lost(crew, open))
		}
		return nil
	})
}

// lost tells of unanswered pings how many their clients have received.
func lost(crew []*client, open []string) string {
	var out strings.Builder
	for _, cl := range crew {
		t, got, all := cl.tally(), 0, 0
		for _, x := range open {
			if strings.HasPrefix(x, cl.name+"-") {
				all++
				got += min(1, t.got[x])
			}
		}
		if all > 0 {
			fmt.Fprintf(&out, "; %s received %d of its %d: %v", cl.name, got, all, &t)
		}
	}
	return out.String()
}

// upload asks a client for a file, and looks at what arrived at Discord.
func (c *cluster) upload(t *testing.T, cl *client) {
	t.Helper()
	x := cl.name + "-file"
	said, err := c.sim.Say(sim.Say{Content: "!file " + x})
	if err != nil {
		t.Fatal(err)
	}
	c.poll("a file of "+cl.name, 20*time.Second, func() error {
		for _, raw := range c.sim.History(said.Channel) {
			var m struct {
				Content     string `json:"content"`
				Attachments []struct {
					Filename string `json:"filename"`
					Size     int    `json:"size"`
				} `json:"attachments"`
			}
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			if m.Content != "file "+x {
				continue
			}
			if len(m.Attachments) != 1 || m.Attachments[0].Filename != x+".bin" || m.Attachments[0].Size != 1<<20 {
				t.Fatalf("%s: %s", cl.name, raw)
			}
			return nil
		}
		return errNotYet
	})
}
