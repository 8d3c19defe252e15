package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestFreshnessHeaders(t *testing.T) {
	f := newFake(t)
	base := serve(t, ServerOptions{Backend: f})
	h := ask(t, "GET", base+"/v1/cache/stats", "").header
	if h.Get("Botnode-Index") == "" || h.Get("Botnode-Stale") != "true" || h.Get("Botnode-Leader") != "mike" {
		t.Errorf("headers of a read: %v", h)
	}
	h = ask(t, "GET", base+"/v1/status", "").header
	if h.Get("Botnode-Index") != "5" || h.Get("Botnode-Stale") != "false" || h.Get("Botnode-Leader") != "mike" {
		t.Errorf("headers of the status: %v", h)
	}
}

func TestManyBotsNeedAName(t *testing.T) {
	f := newFake(t)
	f.addBot("second")
	base := serve(t, ServerOptions{Backend: f})
	got := ask(t, "GET", base+"/v1/config", "")
	if got.status != 400 || !strings.Contains(got.body, "default, second") || !strings.Contains(got.body, "bot_required") {
		t.Errorf("no name: %+v", got)
	}
	if got := ask(t, "GET", base+"/v1/config?bot=second", ""); !strings.Contains(got.body, `"bot":"second"`) {
		t.Errorf("a name: %+v", got)
	}
	got = ask(t, "GET", base+"/v1/config?bot=third", "")
	if got.status != 404 || !strings.Contains(got.body, "default, second") {
		t.Errorf("a wrong name: %+v", got)
	}
	c, err := (&Client{BaseURL: base, Bot: "second"}).Config(t.Context())
	if err != nil || c.Bot != "second" {
		t.Errorf("client: %+v, %v", c, err)
	}
}

func TestStatusShowsTheWorstShards(t *testing.T) {
	f := newFake(t)
	f.status.Shards = nil
	for i := range 100 {
		sh := Shard{Bot: "default", ID: i, Total: 100, State: "ready"}
		switch i {
		case 40:
			sh.State = "unassigned"
		case 50:
			sh.State = "resuming"
		case 60:
			sh.Unacked = 5
		}
		f.status.Shards = append(f.status.Shards, sh)
	}
	client := &Client{BaseURL: serve(t, ServerOptions{Backend: f})}
	st, err := client.Status(t.Context(), false)
	if err != nil || len(st.Shards) != worstShards {
		t.Fatalf("%d shards, %v", len(st.Shards), err)
	}
	if st.Shards[0].ID != 40 || st.Shards[1].ID != 50 || st.Shards[2].ID != 60 {
		t.Errorf("the worst are %+v", st.Shards[:3])
	}
	if st, err = client.Status(t.Context(), true); err != nil || len(st.Shards) != 100 || st.Shards[3].ID != 3 {
		t.Errorf("all: %d shards, %v", len(st.Shards), err)
	}
	if all, err := client.Shards(t.Context()); err != nil || len(all) != 100 {
		t.Errorf("list: %d shards, %v", len(all), err)
	}
}

func TestPages(t *testing.T) {
	f := newFake(t)
	base := serve(t, ServerOptions{Backend: f})
	list := base + "/v1/cache/guilds/" + testGuild + "/channels"
	got := ask(t, "GET", list+"?limit=1", "")
	cursor := got.header.Get("Botnode-Cursor")
	if !strings.Contains(got.body, "general") || strings.Contains(got.body, `"b"`) || cursor != "100000000000000003" {
		t.Errorf("first page: %q, cursor %q", got.body, cursor)
	}
	got = ask(t, "GET", list+"?limit=1&cursor="+cursor, "")
	if !strings.Contains(got.body, `"name":"b"`) || got.header.Get("Botnode-Cursor") != "" {
		t.Errorf("second page: %+v", got)
	}
	for _, path := range []string{list, base + "/v1/cache/guilds/" + testGuild} {
		if !json.Valid([]byte(ask(t, "GET", path, "").body)) {
			t.Errorf("%s is not JSON", path)
		}
	}
}

func TestLongListsAreReadInSteps(t *testing.T) {
	f := newFake(t)
	f.event(3, "GUILD_CREATE", manyChannels(25))
	s, err := NewServer(ServerOptions{Addr: "127.0.0.1:0", Backend: f})
	if err != nil {
		t.Fatal(err)
	}
	s.page = 10
	s.Start()
	defer func() {
		http.DefaultClient.CloseIdleConnections()
		_ = s.Stop(context.Background())
	}()
	for query, want := range map[string]int{"": 25, "?limit=25": 25, "?limit=24": 24, "?limit=11": 11, "?limit=10": 10, "?limit=30": 25} {
		var list []struct{ ID string }
		got := ask(t, "GET", "http://"+s.Addr()+"/v1/cache/guilds/"+testGuild+"/channels"+query, "")
		if err := json.Unmarshal([]byte(got.body), &list); err != nil || len(list) != want {
			t.Errorf("%q: %d channels, %v, want %d", query, len(list), err, want)
		}
		for i := 1; i < len(list); i++ {
			if list[i].ID <= list[i-1].ID {
				t.Errorf("%q: %s after %s", query, list[i].ID, list[i-1].ID)
			}
		}
	}
}

func manyChannels(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"id":"1000000000000001%02d","type":0}`, i))
	}
	return `{"id":"` + testGuild + `","channels":[` + strings.Join(list, ",") + `]}`
}

func TestSnapshotThatFails(t *testing.T) {
	f := newFake(t)
	client := &Client{BaseURL: serve(t, ServerOptions{Backend: f})}
	f.fail(ErrNotReady)
	var b strings.Builder
	if _, err := client.SaveSnapshot(t.Context(), &b); !errors.Is(err, ErrNotReady) || b.Len() > 0 {
		t.Errorf("failed: %v, %q", err, b.String())
	}
	if n, err := client.SaveSnapshot(t.Context(), &b); err != nil || n != 8 || b.String() != "SNAPSHOT" {
		t.Errorf("%d, %v, %q", n, err, b.String())
	}
}

// unready refuses a restore before it reads a byte of it.
type unready struct{ *fake }

func (unready) RestoreSnapshot(context.Context, io.Reader, RestoreOptions) (RestoreResult, error) {
	return RestoreResult{}, ErrNotReady
}

// TestRefusedRestoreIsHeard: the answer comes before a large file was sent, and isn't lost.
func TestRefusedRestoreIsHeard(t *testing.T) {
	client := &Client{BaseURL: serve(t, ServerOptions{Backend: unready{newFake(t)}})}
	const size = 64 << 20
	for range 5 {
		from := io.LimitReader(endless{}, size)
		if _, err := client.RestoreSnapshot(t.Context(), from, size, RestoreOptions{}); !errors.Is(err, ErrNotReady) {
			t.Errorf("%v", err)
		}
	}
}

// endless is a file without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
