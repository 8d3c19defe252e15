//go:build unix

package chaos

import (
	"errors"
	"fmt"

	"github.com/botnode/botnode/discord/sim"
)

// errSkipped is why a fault was not done.
var errSkipped = errors.New("left out")

// resumable are close codes after which the simulator keeps the session and
// botnode resumes it: 1001 ends it there, and 4001 is judged lost here.
var resumable = []int{4000, 4002, 4005, 4008}

// ending are close codes after which a session is over, and a new one begins
// without a RESUME. After the others (4004, 4010 to 4014) a bot stops until
// somebody has cured the reason, so that they are no fault for a run like this.
var ending = []int{4001, 4003, 4007, 4009}

// discord injects a fault of the simulator, with details by chance.
func discord(name string) func(*run, fault) (string, func(), error) {
	return func(r *run, f fault) (string, func(), error) {
		rng := f.rng()
		x := sim.Fault{Kind: name, Count: 1 + rng.IntN(10), On: true, Resumable: true, MS: int(f.length.Milliseconds())}
		if s := rng.IntN(r.o.shards + 1); s < r.o.shards {
			x.Shard = &s
		}
		end := func() {}
		switch name {
		case "close":
			x.Code = resumable[rng.IntN(len(resumable))]
		case "reconnect_first":
			x.Count = 1 + rng.IntN(3)
			r.inject(sim.Fault{Kind: "cut"})
		case "rest_error":
			x.Status, x.After, x.Count = 500+rng.IntN(4), rng.IntN(2) == 0, 1+rng.IntN(30)
			x.Bucket = "messages.create"
		case "rest_429":
			x.Scope, x.Bucket, x.Count = []string{"user", "shared", "global"}[rng.IntN(3)], "messages.create", 1+rng.IntN(5)
		case "delay", "rest_delay":
			x.MS = 20 + rng.IntN(300)
			end = func() { r.inject(sim.Fault{Kind: name}) }
		case "silence":
			end = func() { r.inject(sim.Fault{Kind: name}) }
		}
		r.inject(x)
		return "Discord: " + describe(x), end, nil
	}
}

func describe(x sim.Fault) string {
	s := x.Kind
	if x.Shard != nil {
		s += fmt.Sprintf(" shard %d", *x.Shard)
	}
	return s + fmt.Sprintf(" (code %d, count %d, %d ms, status %d, after %v)", x.Code, x.Count, x.MS, x.Status, x.After)
}

// closeAnew has Discord end a session and say so with the code of the close.
func closeAnew(r *run, f fault) (string, func(), error) {
	rng := f.rng()
	shard, code := rng.IntN(r.o.shards), ending[rng.IntN(len(ending))]
	r.books.end(shard)
	r.inject(sim.Fault{Kind: "expire", Shard: &shard})
	r.inject(sim.Fault{Kind: "close", Shard: &shard, Code: code})
	return fmt.Sprintf("Discord ends the session of shard %d with %d", shard, code), func() {}, nil
}

// newSession has Discord refuse a RESUME: what it has not delivered is gone.
func newSession(r *run, f fault) (string, func(), error) {
	shard := f.rng().IntN(r.o.shards)
	r.inject(sim.Fault{Kind: "refuse_resume", Count: 1})
	r.inject(sim.Fault{Kind: "cut", Shard: &shard})
	return fmt.Sprintf("Discord refuses to resume shard %d", shard), func() {}, nil
}
