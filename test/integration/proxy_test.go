//go:build unix

package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// proxied is a cluster whose nodes have proxies, and a client's key.
type proxied struct {
	*cluster
	addrs map[string]string // of the proxies, by node
	key   string
}

// withProxies starts three nodes with proxies, and makes a key.
func withProxies(t *testing.T) *proxied {
	t.Helper()
	c := &proxied{cluster: newCluster(t, simOptions(3)), addrs: make(map[string]string)}
	for _, id := range []string{"joe", "mike", "robert"} {
		addr, err := programs.ports.Addr()
		if err != nil {
			t.Fatal(err)
		}
		c.addrs[id] = addr
		c.Start(id, "--proxy-addr", addr)
	}
	c.Join("mike", "joe")
	c.Join("robert", "joe")
	c.WaitReady()
	c.key = strings.TrimSuffix(c.OK("mike", "client-key", "create", "web"), "\n") // and nothing else is on standard output
	if strings.ContainsAny(c.key, " \n") || strings.Count(c.key, ".") != 2 {
		t.Fatalf("the key: %q", c.key)
	}
	return c
}

// ask sends a request to a node's proxy and returns the answer's status.
func (c *proxied) ask(ctx context.Context, client *http.Client, id, method, path, body string, header ...string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.addrs[id]+"/api/v10"+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bot "+c.key)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode, nil
}

// TestMessagesOutliveANode: clients that repeat a message under a key of theirs at
// another node, when the one that they asked dies or doesn't know what came of
// it, make each message once. The leader is killed in the middle, and comes back.
func TestMessagesOutliveANode(t *testing.T) {
	parallel(t)
	const messages, workers = 400, 8
	c := withProxies(t)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	defer client.CloseIdleConnections()
	ids := []string{"joe", "mike", "robert"}
	for _, id := range ids {
		c.poll("the key holds at "+id, 10*time.Second, func() error {
			status, err := c.ask(t.Context(), client, id, http.MethodGet, "/users/@me", "")
			return yes(err == nil && status == http.StatusOK, "%d, %v", status, err)
		})
	}
	c.inject(sim.Fault{Kind: "rest_delay", MS: 15, On: true}) // so that a death meets requests on their way
	room := c.sim.TextChannels(c.sim.GuildIDs()[0])[0].String()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	victim := c.Leader()
	var done, repeats atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := w; n < messages; n += workers {
				for try := 0; ; try++ {
					id := ids[(n+try)%len(ids)]
					status, err := c.ask(ctx, client, id, http.MethodPost, "/channels/"+room+"/messages", fmt.Sprintf(`{"content":"message %d, try %d"}`, n, try),
						"Botnode-Idempotency-Key", fmt.Sprint("message ", n))
					if err == nil && status == http.StatusOK {
						break
					}
					if ctx.Err() != nil || err == nil && status < 500 {
						t.Errorf("message %d at %s: %d, %v", n, id, status, err)
						return
					}
					repeats.Add(1)
				}
				done.Add(1)
			}
		})
	}
	c.poll("a quarter of the messages", time.Minute, func() error { return yes(done.Load() >= messages/4, "%d", done.Load()) })
	c.Kill9(victim)
	c.poll("half of the messages", time.Minute, func() error { return yes(done.Load() >= messages/2, "%d", done.Load()) })
	c.Restart(victim)
	wg.Wait()
	made := make(map[string]int)
	tries := 0
	for _, p := range c.sim.Ledger().Posted() {
		what, _, ok := strings.Cut(p.Content, ",")
		if !ok || !strings.HasPrefix(what, "message ") {
			continue
		}
		tries++
		if !p.Deduped {
			made[what]++
		}
	}
	for n := range messages {
		if times := made[fmt.Sprint("message ", n)]; times != 1 {
			t.Errorf("message %d was made %d times", n, times)
		}
	}
	if repeats.Load() == 0 {
		t.Error("nobody noticed the death: the test shows nothing")
	}
	t.Logf("%d messages, %d repeated by their clients, %d reached Discord more than once", messages, repeats.Load(), tries-messages)
	if status, err := c.ask(ctx, client, victim, http.MethodGet, "/users/@me", ""); err != nil || status != http.StatusOK {
		t.Errorf("the node that came back: %d, %v", status, err)
	}
	c.OK("robert", "client-key", "revoke", "web")
	for _, id := range ids {
		c.poll("the key is worth nothing at "+id, 10*time.Second, func() error {
			status, err := c.ask(ctx, client, id, http.MethodGet, "/users/@me", "")
			return yes(err == nil && status == http.StatusUnauthorized, "%d, %v", status, err)
		})
	}
	c.Unharmed()
}
