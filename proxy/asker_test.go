package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/fsm"
)

// newKey makes a client key that nodes which lag haven't heard of.
func (b *bed) newKey(name string, rights fsm.Rights) (key string, stored fsm.ClientKey) {
	b.t.Helper()
	key, hash := NewKey(bedSelf)
	stored = fsm.ClientKey{Name: name, Hash: hash, Rights: rights, At: 1}
	b.must(&fsm.PutClientKey{Bot: bedBot, Key: stored})
	return key, stored
}

// authenticated has the server look at a request of an address.
func (n *bedNode) authenticated(key, addr string) (Client, *apiError) {
	r := httptest.NewRequest(http.MethodGet, "/api/v10/users/@me", nil)
	r.Header.Set("Authorization", "Bot "+key)
	r.RemoteAddr = addr
	return n.server.authenticate(r, apiPath{rest: "/users/@me"}, rest.ParseRoute(http.MethodGet, "/users/@me"))
}

// TestNewKeyAtANodeThatLags: what an operator has just allowed is allowed at a node
// that hasn't heard of it, too. Libraries take 4004 and 4014 for final.
func TestNewKeyAtANodeThatLags(t *testing.T) {
	b := newBed(t, bedOptions{nodes: 2, guilds: 1, intents: discord.IntentGuilds})
	n := b.nodes[1]
	key, stored := b.newKey("poor", fsm.RightRead)
	n.setLag(true)

	fresh, _ := b.newKey("fresh", fsm.RightEvents)
	c := n.dial("")
	c.b = &bed{key: fresh}
	c.begun(discord.IntentGuilds, "")

	stored.Rights = fsm.RightEvents | fsm.RightREST
	b.must(&fsm.PutClientKey{Bot: bedBot, Key: stored})
	d := n.dial("")
	d.b = &bed{key: key}
	d.begun(discord.IntentGuilds, "")
	e := n.dial("")
	e.b = &bed{key: key}
	b.must(&fsm.Configure{Bot: bedBot, Config: fmt.Appendf(nil, `{"intents":%d}`, bedIntents), Rev: b.rev()})
	e.begun(bedIntents, "")

	asked := n.asked.Load()
	newer, more := b.newKey("newer", fsm.RightRead)
	if c, refused := n.authenticated(newer, "192.0.2.1:1"); refused != nil || c.Name != "newer" {
		t.Errorf("a request with a new key: %+v %+v", c, refused)
	}
	more.Rights = fsm.RightREST
	poor := Client{Bot: bedBot, Name: "newer", Rights: fsm.RightRead, hash: more.Hash}
	if refused := n.server.refuses(t.Context(), poor, http.MethodPost); refused != errRights {
		t.Errorf("a request that the key has no right to: %+v", refused)
	}
	b.must(&fsm.PutClientKey{Bot: bedBot, Key: more})
	if refused := n.server.refuses(t.Context(), poor, http.MethodPost); refused != nil {
		t.Errorf("a request that the key has a new right to: %+v", refused)
	}
	if got := n.asked.Load() - asked; got != 3 {
		t.Errorf("the cluster was asked %d times", got)
	}
	// What a node knows it asks nobody about.
	for range 100 {
		if _, refused := n.authenticated(newer, "192.0.2.1:1"); refused != nil {
			t.Fatalf("%+v", refused)
		}
	}
	if got := n.asked.Load() - asked; got != 3 {
		t.Errorf("the cluster was asked %d times", got)
	}
}

// rev is the revision of the bot's configuration.
func (b *bed) rev() (rev uint64) {
	b.nodes[0].ViewState(func(s *fsm.State) { rev = s.Bot(bedBot).ConfigRev })
	return rev
}

// TestFloodOfWrongKeys: whoever shows keys that nobody has, from as many addresses as
// he likes, makes the node ask no more often than askEvery, and a new key that comes
// among them is taken.
func TestFloodOfWrongKeys(t *testing.T) {
	b := newBed(t, bedOptions{nodes: 2, guilds: 1})
	n := b.nodes[1]
	n.setLag(true)
	fresh, _ := b.newKey("fresh", fsm.RightREST)
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range 500 {
		key, addr := fmt.Sprint("nobody ", i), fmt.Sprintf("192.0.%d.%d:1", i/250, i%250)
		if i%100 == 99 {
			key = fresh
		}
		wg.Go(func() {
			for range 4 {
				if _, refused := n.authenticated(key, addr); (key == fresh) != (refused == nil) || refused != nil && refused != errUnauthorized {
					t.Errorf("%q: %+v", key, refused)
				}
			}
		})
	}
	wg.Wait()
	took, asked := time.Since(begun), n.asked.Load()
	t.Logf("2000 requests, %d questions in %v", asked, took.Round(time.Millisecond))
	if most := int64(took/askEvery) + 1; asked > most || asked == 0 {
		t.Errorf("%d questions in %v, at most %d may be", asked, took, most)
	}
	// One address is put off before anybody is asked.
	asked = n.asked.Load()
	for range 10 * strangerBurst {
		_, _ = n.authenticated("nobody", "198.51.100.1:1")
	}
	if got := n.asked.Load() - asked; got < strangerBurst || got > strangerBurst+5 {
		t.Errorf("one address had %d questions asked", got)
	}
}

// TestNoQuorumForAKey: a node that doesn't know a key and has nobody to ask refuses
// nothing for good. Known keys need nobody.
func TestNoQuorumForAKey(t *testing.T) {
	b := newBed(t, bedOptions{nodes: 2, guilds: 1})
	n := b.nodes[1]
	n.setLag(true)
	fresh, _ := b.newKey("fresh", fsm.RightEvents)
	n.cut.Store(true)
	c := n.dial("")
	c.b = &bed{key: fresh}
	c.identify(bedIntents, "")
	d := n.dial("")
	d.b = &bed{key: fresh}
	d.resume("unknown", 1)
	if _, refused := n.authenticated(fresh, "192.0.2.1:1"); refused != errNotFresh {
		t.Errorf("a request: %+v", refused)
	}
	c.isSentAway()
	d.isSentAway()
	n.dial("").begun(bedIntents, "")

	// A leader that is found again within the time is waited for.
	e := n.dial("")
	e.b = &bed{key: fresh}
	asked := n.asked.Load()
	e.identify(bedIntents, "")
	await(t, "a question", func() bool { return n.asked.Load() > asked })
	n.cut.Store(false)
	e.isReady()
}

// waits waits until somebody waits for a question that is not on its way yet.
func waits(t *testing.T, s *Server) {
	t.Helper()
	await(t, "one who waits", func() bool {
		s.asker.mu.Lock()
		defer s.asker.mu.Unlock()
		return s.asker.next != nil
	})
}

// TestQuestionsThatAreOnTheirWay: an answer proves nothing to who came after the
// question was asked; a server that ends keeps nobody waiting.
func TestQuestionsThatAreOnTheirWay(t *testing.T) {
	asked, answers := make(chan struct{}), make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	s := &Server{asker: newAsker(), ctx: ctx}
	var wg sync.WaitGroup
	wg.Go(func() {
		s.asker.run(ctx, func(context.Context) error {
			asked <- struct{}{}
			return <-answers
		})
	})
	outcome := make(chan error)
	ask := func() { outcome <- s.ask(t.Context()) }
	another := func() { // comes while a question is on its way, which is answered then
		t.Helper()
		go ask()
		waits(t, s)
		answers <- nil
		if err := <-outcome; err != nil {
			t.Error(err)
		}
		<-asked
	}
	go ask()
	<-asked
	another()
	select {
	case err := <-outcome:
		t.Fatalf("it has taken the answer to an older question: %v", err)
	default:
	}
	another()
	cancel()
	if err := <-outcome; !errors.Is(err, errAskStops) {
		t.Errorf("when the server ends: %v", err)
	}
	answers <- nil
	wg.Wait()
}
