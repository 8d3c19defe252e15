package cache

import (
	"fmt"
	"testing"
)

// crowd is a cache with n members in guilds of 100, a fifth of them bots.
func crowd(p Policies, n int) *Cache {
	c := New(p)
	for g := range (n + 99) / 100 {
		c.Apply(0, 1, "GUILD_CREATE", fmt.Appendf(nil, `{"id":"%d","member_count":0}`, g+1))
		for u := range min(100, n-100*g) {
			bot := ""
			if u%5 == 0 {
				bot = `,"bot":true`
			}
			c.Apply(0, 1, "GUILD_MEMBER_ADD", fmt.Appendf(nil,
				`{"guild_id":"%d","user":{"id":"%d","username":"somebody"%s},"nick":"n%d","roles":["7","%d"]}`, g+1, 1000+100*g+u, bot, u, u))
		}
	}
	return c
}

// sweepAll sweeps to the end and returns how many steps that took.
func sweepAll(t *testing.T, c *Cache, most int) int {
	t.Helper()
	steps := 0
	for c.Sweeping() {
		c.Sweep(most)
		check(t, c)
		if steps++; steps > 1000 {
			t.Fatal("a sweep has no end")
		}
	}
	return steps
}

func members(p Policy) Policies {
	all := everything()
	all[Members] = p
	return all
}

func filter(t testing.TB, text string) *Filter {
	t.Helper()
	f, err := ParseFilter(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSweepInSteps(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to Policy
		left     int
	}{
		"off":            {Policy{Mode: On}, Policy{Mode: Off}, 0},
		"bounded":        {Policy{Mode: On}, Policy{Mode: Bounded, MaxCount: 120}, 120},
		"shrunk":         {Policy{Mode: Bounded, MaxCount: 1000}, Policy{Mode: Bounded, MaxCount: 120}, 120},
		"filtered":       {Policy{Mode: On}, Policy{Mode: On, Filter: filter(t, `user.bot == false`)}, 240},
		"all of it":      {Policy{Mode: On}, Policy{Mode: Bounded, MaxCount: 10, Filter: filter(t, `user.bot == true and guild_id <= 2`)}, 10},
		"bounded to off": {Policy{Mode: Bounded, MaxCount: 1000}, Policy{Mode: Off}, 0},
		"grown":          {Policy{Mode: Bounded, MaxCount: 1000}, Policy{Mode: On}, 300},
	} {
		t.Run(name, func(t *testing.T) {
			c := crowd(members(tt.from), 300)
			c.setPolicies(members(tt.to), 7)
			check(t, c)
			if c.Sweeping() != (tt.left < 300) || c.Stats()[Members].Sweeping != c.Sweeping() {
				t.Fatalf("sweeping: %v", c.Sweeping())
			}
			steps := sweepAll(t, c, 7)
			s := c.Stats()[Members]
			if s.Count != tt.left || s.Evicted != uint64(300-tt.left) || c.tables[Users].recs.n != tt.left {
				t.Errorf("%d members and %d users are left, %d evicted, want %d", s.Count, c.tables[Users].recs.n, s.Evicted, tt.left)
			}
			if tt.left < 300 && steps < (300-tt.left)/7 {
				t.Errorf("%d steps: too much was done in one", steps)
			}
		})
	}
}

// TestEvictionIsByAge has the walk end before anything is dropped by age: what
// was written last stays, wherever its key is.
func TestEvictionIsByAge(t *testing.T) {
	c := crowd(everything(), 300)
	c.Apply(0, 1, "GUILD_MEMBER_UPDATE", []byte(`{"guild_id":"1","user":{"id":"1000"},"nick":"new"}`))
	c.setPolicies(members(Policy{Mode: Bounded, MaxCount: 2}), 0)
	c.Sweep(50)
	c.Apply(0, 1, "GUILD_MEMBER_UPDATE", []byte(`{"guild_id":"2","user":{"id":"1105"},"nick":"newer"}`))
	sweepAll(t, c, 50)
	for _, k := range []key{{1, 1000}, {2, 1105}} {
		if !c.tables[Members].recs.has(k) {
			t.Errorf("member %v was written last and is gone", k)
		}
	}
}

// TestNothingGoesStale changes what a sweep hasn't come to: the kind is off, so
// the object goes rather than stay as it was.
func TestNothingGoesStale(t *testing.T) {
	c := crowd(everything(), 300)
	c.setPolicies(members(Policy{Mode: Off}), 0)
	c.Apply(0, 1, "GUILD_MEMBER_UPDATE", []byte(`{"guild_id":"3","user":{"id":"1299"},"nick":"changed"}`))
	check(t, c)
	if _, ok := c.Member(3, 1299); ok {
		t.Error("a member of before is served")
	}
	c.setPolicies(everything(), 0) // on again in the middle: what is left is true
	if c.Sweeping() || c.Stats()[Members].Count != 299 {
		t.Errorf("%+v", c.Stats()[Members])
	}
	c.Apply(0, 1, "GUILD_MEMBER_ADD", []byte(`{"guild_id":"3","user":{"id":"1299"},"nick":"back"}`))
	check(t, c)
}

// TestChangesDuringASweep changes the policy while the order is being built.
func TestChangesDuringASweep(t *testing.T) {
	c := crowd(everything(), 300)
	c.setPolicies(members(Policy{Mode: Bounded, MaxCount: 100}), 20)
	c.setPolicies(members(Policy{Mode: Bounded, MaxCount: 50}), 20)
	c.Apply(0, 1, "GUILD_DELETE", []byte(`{"id":"2"}`))
	check(t, c)
	sweepAll(t, c, 30)
	if n := c.Stats()[Members].Count; n != 50 {
		t.Errorf("%d members", n)
	}
	c.setPolicies(members(Policy{Mode: Bounded, MaxCount: 20}), 5)
	c.setPolicies(members(Policy{Mode: Bounded, MaxCount: 40}), 5)
	sweepAll(t, c, 30)
	if n := c.Stats()[Members].Count; n != 40 {
		t.Errorf("%d members", n)
	}
}

// TestFilterOutlivesAChangeOfBounds changes a policy while a filter's walk isn't
// over, and leaves the filter as it is: the walk's rest still has to be done.
func TestFilterOutlivesAChangeOfBounds(t *testing.T) {
	bots := filter(t, "user.bot == true")
	for name, to := range map[string]Policy{
		"unbounded":       {Mode: On, MaxBytes: 1, Filter: bots},
		"bounded, roomy":  {Mode: Bounded, MaxCount: 1000, Filter: bots},
		"bounded, narrow": {Mode: Bounded, MaxCount: 250, Filter: bots},
	} {
		t.Run(name, func(t *testing.T) {
			c := crowd(everything(), 300)
			c.setPolicies(members(Policy{Mode: On, Filter: bots}), 20)
			c.setPolicies(members(to), 20)
			sweepAll(t, c, 30)
			if n := c.Stats()[Members].Count; n != 60 {
				t.Errorf("%d members, want the 60 bots", n)
			}
		})
	}
}

func TestFilteredWrites(t *testing.T) {
	p := everything()
	p[Messages].Filter = filter(t, `channel_id == 5 and author.bot != true`)
	p[Members].Filter = filter(t, `user.bot == false and roles contains "7"`)
	c := New(p)
	c.Apply(0, 1, "GUILD_CREATE", []byte(`{"id":"1"}`))
	for i, ev := range []struct{ name, d string }{
		{"MESSAGE_CREATE", `{"id":"10","channel_id":"5","content":"kept"}`},
		{"MESSAGE_CREATE", `{"id":"11","channel_id":"6","content":"another channel"}`},
		{"MESSAGE_CREATE", `{"id":"12","channel_id":"5","author":{"id":"3","bot":true}}`},
		{"GUILD_MEMBER_ADD", `{"guild_id":"1","user":{"id":"20"},"roles":["6","7"]}`},
		{"GUILD_MEMBER_ADD", `{"guild_id":"1","user":{"id":"21","bot":true},"roles":["7"]}`},
		{"GUILD_MEMBER_ADD", `{"guild_id":"1","user":{"id":"22"},"roles":["8"]}`},
	} {
		c.Apply(0, 1, ev.name, []byte(ev.d))
		check(t, c)
		if c.tables[Messages].recs.n+c.tables[Members].recs.n != []int{1, 1, 1, 2, 2, 2}[i] {
			t.Errorf("after %s: %+v", ev.d, c.Stats())
		}
	}
	// The user of a partial update is the cached one.
	c.Apply(0, 1, "GUILD_MEMBER_UPDATE", []byte(`{"guild_id":"1","user":{"id":"20"},"nick":"still"}`))
	if _, ok := c.Member(1, 20); !ok {
		t.Error("an update that the filter admits drops the member")
	}
	c.Apply(0, 1, "GUILD_MEMBER_UPDATE", []byte(`{"guild_id":"1","user":{"id":"20"},"roles":[]}`))
	check(t, c)
	if _, ok := c.Member(1, 20); ok || c.tables[Users].recs.n != 0 {
		t.Error("a member that the filter refuses now is kept")
	}
}
