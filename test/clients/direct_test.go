//go:build clients

package clients

import "testing"

// TestWithoutPublicURL connects the clients to one node, which names itself as
// the place to resume at. It dies, and comes back a second later: so do they.
func TestWithoutPublicURL(t *testing.T) {
	c := trio(t, false)
	joe := c.nodes[0]
	crew, b := c.crew(joe.proxy), newBook(c.sim)
	before := map[string]int{}
	for _, cl := range crew {
		before[cl.name] = cl.tally().resumed
	}
	c.round(b, crew, "without a public address: kill -9 of the node of the clients", size(400, 200), func() { c.kill(joe) })
	for _, cl := range crew {
		if cl.tally().resumed == before[cl.name] {
			t.Errorf("%s has not resumed", cl.name)
		}
		cl.end(t)
	}
	c.unharmed()
}
