//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/test/tally"
)

const (
	// loadGuilds is over how many guilds the messages of a load are spread. The
	// events of one guild come in order, so that each waits for the commit of the
	// one before it: few guilds could not have so many a second.
	loadGuilds = 600
	// loadReplay is how many events Discord keeps of a session, for a silence of
	// some seconds.
	loadReplay = 100_000
)

// flood is the load of ordinary messages, which a handler counts in the store.
type flood struct {
	r       *run
	n       int // messages in all
	running *sim.Running
	took    time.Duration
}

// begin has the messages come at an even rate for the run's length. What is late
// is caught up with, so that their number is known from the beginning.
func (fl *flood) begin() {
	fl.n = fl.r.o.flood * int(fl.r.o.length/time.Second)
	fl.running = fl.r.cluster.sim.StartLoad(sim.Load{Kind: "message", Rate: float64(fl.r.o.flood), N: fl.n})
}

// wait waits for the last message.
func (fl *flood) wait(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = fl.running.Stop() })
	defer stop()
	if err := fl.running.Wait(); err != nil {
		fl.r.violate("the simulator's load: %v", err)
	}
	fl.took = time.Since(fl.r.started)
}

// want is what the messages come to. The simulator numbers them and goes through
// the guilds in turn.
func (fl *flood) want() map[string]tally.Chatter {
	guilds := fl.r.cluster.sim.GuildIDs()
	out := map[string]tally.Chatter{}
	for i := range fl.n {
		g := guilds[i%len(guilds)].String()
		c := out[g]
		c.Count++
		c.Sum += i
		out[g] = c
	}
	return out
}

// killEvery makes a schedule of kills: the leader, the owner of a shard and a
// follower in turn, each of which is started again before the next one dies.
func killEvery(seed uint64, period, length time.Duration) (out []fault) {
	rng := rand.New(rand.NewPCG(seed, 1))
	victims := []string{"kill-leader", "kill-owner", "kill-follower"}
	for at := period; at+period/2 <= length; at += period {
		down := time.Duration(rng.Int64N(int64(period / 4)))
		out = append(out, fault{n: len(out) + 1, kind: kindOf(victims[len(out)%len(victims)]), at: at, length: down, seed: rng.Uint64()})
	}
	return out
}

// answerTimes are how long it took from a message to its answer, sorted.
func (b *books) answerTimes(posted []sim.Posted) (out []time.Duration) {
	at := map[int]time.Time{}
	b.mu.Lock()
	for _, m := range b.said {
		at[m.n] = m.at
	}
	b.mu.Unlock()
	for _, p := range posted {
		if n, ok := counted(p); ok {
			out = append(out, p.At.Sub(at[n]))
		}
	}
	slices.Sort(out)
	return out
}

// figures are what a load came to.
func (fl *flood) figures() string {
	d := fl.r.books.answerTimes(fl.r.cluster.sim.Ledger().Posted())
	if len(d) == 0 {
		return strconv.Itoa(fl.n) + " messages counted, none answered"
	}
	ms := func(i int) int64 { return d[i].Milliseconds() }
	return fmt.Sprintf("%d messages counted, the last said after %v (%.0f/s); %d others answered: p50 %d ms, p99 %d ms, p99.9 %d ms, most %d ms after they were said",
		fl.n, fl.took.Round(time.Millisecond), float64(fl.n)/fl.took.Seconds(), len(d), ms(len(d)/2), ms(len(d)*99/100), ms(len(d)*999/1000), ms(len(d)-1))
}
