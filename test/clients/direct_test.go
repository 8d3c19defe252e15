//go:build clients

package clients

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestWithoutPublicURL connects the clients to one node, which names itself as
// the place to resume at. It dies, and comes back a second later: so do they, and
// miss nothing. discord.js comes back, too, but begins anew.
func TestWithoutPublicURL(t *testing.T) {
	t.Parallel() // most of its time is a library's patience
	c := trio(t, false)
	joe := c.nodes[0]
	crew, b := c.crew(joe.proxy), newBook(c.sim)
	forgets := func(cl *client) bool { return cl.forgets }
	before := map[string]tally{}
	for _, cl := range crew {
		before[cl.name] = cl.tally()
	}
	c.round(b, slices.DeleteFunc(slices.Clone(crew), forgets), "without a public address: kill -9 of the node of the clients",
		size(400, 150), func() { c.kill(joe) })
	c.poll("all sessions go on, or begin anew", 30*time.Second, func() error {
		for _, cl := range crew {
			was, is := before[cl.name], cl.tally()
			began := is.identified - was.identified
			if cl.forgets && began < was.identified || !cl.forgets && is.resumed == was.resumed {
				return fmt.Errorf("%s: %v", cl.name, &is)
			}
		}
		return nil
	})
	c.round(b, crew, "without a public address: after that", 50, func() {})
	c.disband(crew)
}
