package admin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/fsm"
)

const testGuild = "100000000000000001"

// fake is a backend over a real state machine. What it was asked is in calls;
// the next command fails with err.
type fake struct {
	behind bool // it has not caught up yet
	t      *testing.T
	m      *fsm.Machine

	mu     sync.Mutex // guards what follows
	index  uint64
	calls  []string
	err    error
	status Status
	ready  []Check
	live   error
	tokens map[string]fsm.AdminRight // the cluster's admin tokens
	onSync func()                    // if set, what a Sync brings
	hold   chan struct{}             // if set, Join tells it that it began, and waits for its context
}

var _ Backend = (*fake)(nil)

var (
	testNode  = fsm.NodeRef{ID: "mike", Inc: 1}
	testShard = fsm.ShardKey{Layout: 1, Index: 0}
)

// newFake returns a backend with one bot that has a guild, a member and events.
func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, m: fsm.NewMachine()}
	f.apply(&fsm.Init{ClusterID: "c1"}, &fsm.Up{Node: testNode})
	f.addBot("default")
	f.event(2, "GUILD_CREATE", guildJSON)
	f.status = Status{
		Schema: 1, Version: "v1", ClusterID: "c1", ID: "mike", Health: "ok", State: "leader", Leader: &LeaderID{"mike"}, AppliedIndex: 5,
		Problems: []Problem{{Code: "few_voters"}},
		Nodes:    []Node{{ID: "mike", Voter: true, Alive: true, Shards: 1, MemoryBytes: 1 << 20}},
		Bots:     []Bot{{Name: "default", ShardsByState: map[string]int{"ready": 1}}},
		Shards: []Shard{{Bot: "default", ID: 0, Total: 1, Owner: "mike", State: "ready", LatencyMS: 12,
			LastTakeover: &Takeover{Kind: "failover", GapMS: 20}}},
	}
	return f
}

const guildJSON = `{"id":"` + testGuild + `","name":"G <&>","future":{"x":1},
"channels":[{"id":"100000000000000002","type":0,"name":"general"},{"id":"100000000000000003","type":0,"name":"b"}],
"roles":[{"id":"` + testGuild + `","name":"@everyone"}],"emojis":[],
"members":[{"user":{"id":"100000000000000004","username":"joe"},"roles":[]}],"voice_states":[],"threads":[]}`

func (f *fake) addBot(name string) {
	f.apply(&fsm.Configure{Bot: name, Config: []byte(`{"intents":513}`)},
		&fsm.Layout{Bot: name, Total: 1, From: 0, To: 0},
		&fsm.Interests{Bot: name, List: []fsm.Interest{{Type: "GUILD_CREATE"}, {Type: "MESSAGE_CREATE"}}},
		&fsm.Grant{Bot: name, Shard: testShard, To: testNode},
		&fsm.Ready{Bot: name, Shard: testShard, Epoch: 1, SID: "s1", URL: "u", S: 1, At: 1, Raw: []byte(`{"guilds":[{"id":"` + testGuild + `"}]}`)})
}

func (f *fake) event(s int64, kind, raw string) {
	ev := fsm.Event{S: s, Type: kind, Guild: 100000000000000001, Lane: 100000000000000001, Raw: []byte(raw)}
	f.apply(&fsm.Events{Bot: "default", Shard: testShard, Epoch: 1, SID: "s1", Prev: s - 1, At: 5, Evs: []fsm.Event{ev}})
}

// apply applies commands, each of which must be OK.
func (f *fake) apply(cmds ...fsm.Command) {
	f.t.Helper()
	for _, c := range cmds {
		if res := f.do(c); res.Code != fsm.OK {
			f.t.Fatalf("%T: %+v", c, res)
		}
	}
}

func (f *fake) do(c fsm.Command) fsm.Result {
	var gen uint64
	f.m.View(func(_ uint64, s *fsm.State) { gen = s.Generation })
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index++
	rs, _ := f.m.Apply(f.index, fsm.EncodeBatch([][]byte{fsm.Encode(gen, c)})).([]fsm.Result)
	return rs[0]
}

func (f *fake) called(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	err := f.err
	f.err = nil
	return err
}

func (f *fake) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// last returns what was asked last, and forgets it.
func (f *fake) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) == 0 {
		return ""
	}
	last := f.calls[len(f.calls)-1]
	f.calls = nil
	return last
}

func (f *fake) Status(context.Context) (Status, error) {
	st := f.status
	st.Nodes, st.Bots, st.Shards = slices.Clone(st.Nodes), slices.Clone(st.Bots), slices.Clone(st.Shards)
	return st, f.called("status")
}
func (f *fake) Live() error     { return f.live }
func (f *fake) Ready() []Check  { return append([]Check{{Name: "member"}}, f.ready...) }
func (f *fake) Freshness() Read { return Read{Index: f.m.Index(), Stale: true, Leader: "mike"} }
func (f *fake) CaughtUp() bool  { return !f.behind }
func (f *fake) BotNames() (names []string) {
	f.m.View(func(_ uint64, s *fsm.State) { names = s.BotNames() })
	return names
}
func (f *fake) Digest() Digest { return Digest{AppliedIndex: 7, Digest: "abc"} }

func (f *fake) Join(ctx context.Context, peer, token string, stage func(string)) (JoinResult, error) {
	if f.hold != nil {
		close(f.hold)
		<-ctx.Done()
		return JoinResult{}, ctx.Err()
	}
	if peer == "early:1" {
		return JoinResult{}, WithHint(ErrRefused, "not you")
	}
	if stage != nil {
		stage("contacted")
		stage("voter")
	}
	return JoinResult{ClusterID: "c1", TookMS: 5}, f.called("join %s", strings.TrimSuffix(peer+" with "+token, " with "))
}
func (f *fake) CreateJoinToken(_ context.Context, life time.Duration) (string, JoinToken, error) {
	return "the-token", JoinToken{ID: "t1", ExpiresMS: 5}, f.called("create join token %s", life)
}
func (f *fake) JoinTokens() []JoinToken { return []JoinToken{{ID: "t1", ExpiresMS: 5, Used: 2}} }
func (f *fake) RevokeJoinToken(_ context.Context, id string) error {
	return f.called("revoke join token %s", id)
}

func (f *fake) AdminRight(token string) (fsm.AdminRight, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	right, ok := f.tokens[token]
	return right, ok
}
func (f *fake) HasAdminTokens() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.tokens) > 0
}
func (f *fake) AdminTokens() []Token {
	return []Token{{Name: "ops", Right: "admin", CreatedMS: 5}}
}
func (f *fake) CreateAdminToken(_ context.Context, name string, right fsm.AdminRight, life time.Duration) (Token, error) {
	return Token{Name: name, Right: right.String(), Token: "the-token"}, f.called("create admin token %s %s %s", name, right, life)
}
func (f *fake) RevokeAdminToken(_ context.Context, name string) error {
	return f.called("revoke admin token %s", name)
}

func (f *fake) BotToken(bot string) BotToken {
	return BotToken{Bot: bot, Sealed: true, Revision: 2, Epoch: 1, Uses: "sealed"}
}
func (f *fake) SetBotToken(_ context.Context, bot, token string) error {
	return f.called("bot token of %s: %s", bot, token)
}
func (f *fake) DropBotToken(_ context.Context, bot string) error {
	return f.called("drop token of %s", bot)
}

func (f *fake) TLS() TLS {
	return TLS{Enabled: true, Epoch: 1, Members: []TLSMember{{ID: "joe", Holds: 1}}, Authorities: []TLSAuthority{}}
}
func (f *fake) Examine(context.Context) []Examination {
	return []Examination{{ID: "joe", SyncMS: 2, Linked: []string{}, Gossips: []string{}}}
}
func (f *fake) RotateTLS(context.Context) error { return f.called("rotate") }
func (f *fake) BackupKey() (string, error)      { return "the-key", f.called("backup key") }
func (f *fake) Leave(context.Context) error     { return f.called("leave") }
func (f *fake) Drain(_ context.Context, id string, on bool) error {
	return f.called("drain %s %t", id, on)
}
func (f *fake) RemoveNode(_ context.Context, id string, force bool) error {
	return f.called("remove %s %t", id, force)
}
func (f *fake) SetVoter(_ context.Context, id string, voter bool) error {
	return f.called("voter %s %t", id, voter)
}
func (f *fake) TransferLeadership(_ context.Context, to string) error {
	return f.called("transfer %q", to)
}
func (f *fake) MoveShard(_ context.Context, bot string, index int, to string) error {
	return f.called("move %s/%d to %s", bot, index, to)
}
func (f *fake) DisconnectShard(_ context.Context, bot string, index int, drain time.Duration) (Resume, error) {
	r := Resume{Schema: 1, Bot: bot, Shard: index, Total: 4, SessionID: "s", ResumeURL: "wss://r", Seq: 7, Guilds: 1, Undone: 1}
	return r, f.called("disconnect %s/%d within %v", bot, index, drain)
}
func (f *fake) ConnectShard(_ context.Context, bot string, index int, req ConnectRequest) (Shard, error) {
	call := fmt.Sprintf("connect %s/%d of %d to %q", bot, index, req.Of, req.To)
	if req.Resume != nil {
		call += fmt.Sprintf(" from %d", req.Resume.Seq)
	}
	return Shard{Bot: bot, ID: index, Total: req.Of, State: "ready"}, f.called("%s", call)
}
func (f *fake) ImportShard(_ context.Context, bot string, index, of int, evs []fsm.Imported) error {
	return f.called("import %d events into %s/%d of %d", len(evs), bot, index, of)
}
func (f *fake) Takeover(_ context.Context, bot, to string) error {
	return f.called("takeover %s to %s", bot, to)
}
func (f *fake) Sync(context.Context) error {
	if f.onSync != nil {
		f.onSync()
	}
	return f.called("sync")
}

func (f *fake) View(bot string, look func(*fsm.Bot, *cache.Cache)) (Read, error) {
	read := Read{Stale: true, Leader: "mike"}
	found := false
	f.m.View(func(index uint64, s *fsm.State) {
		read.Index = index
		if b := s.Bot(bot); b != nil {
			found = true
			look(b, b.Cache())
		}
	})
	if !found {
		return read, ErrUnknownBot
	}
	return read, nil
}
func (f *fake) Changed() <-chan struct{} { return f.m.Changed() }

func (f *fake) WriteKV(_ context.Context, bot, key string, value []byte, del bool, ifVersion *uint64) (uint64, error) {
	if err := f.called("kv %s", key); err != nil {
		return 0, err
	}
	f.mu.Lock()
	id := f.index + 1000
	f.mu.Unlock()
	cmd := &fsm.KVWrite{Bot: bot, ID: id, Change: fsm.KVChange{Key: key, Value: value, Delete: del}}
	if ifVersion != nil {
		cmd.Conditional, cmd.IfVersion = true, *ifVersion
	}
	res := f.do(cmd)
	if res.Code == fsm.Conflict {
		return res.Version, fmt.Errorf("%w: %s", ErrConflict, res.Msg)
	}
	if res.Code != fsm.OK {
		return 0, errors.New(res.Msg)
	}
	return res.Version, nil
}
func (f *fake) DeadLetter(_ context.Context, bot string, pos uint64, retry bool) error {
	return f.called("dead %s %d %t", bot, pos, retry)
}
func (f *fake) Configure(_ context.Context, bot string, rev uint64, config json.RawMessage) (uint64, error) {
	return rev + 1, f.called("configure %s %d %s", bot, rev, config)
}
func (f *fake) CreateClientKey(_ context.Context, bot, name string, rights fsm.Rights) (string, error) {
	if err := f.called("client key %s/%s %s", bot, name, rights); err != nil {
		return "", err
	}
	f.apply(&fsm.PutClientKey{Bot: bot, Key: fsm.ClientKey{Name: name, Hash: sha256.Sum256([]byte(name)), Rights: rights, At: 1700000000000}})
	return "MTIz.client." + name, nil
}
func (f *fake) RevokeClientKey(_ context.Context, bot, name string) error {
	return f.called("revoke %s/%s", bot, name)
}
func (f *fake) RestoreSnapshot(_ context.Context, from io.Reader, o RestoreOptions) (RestoreResult, error) {
	b, err := io.ReadAll(from)
	if err != nil {
		return RestoreResult{}, err
	}
	return RestoreResult{Generation: 7, SessionsKept: o.KeepSessions}, f.called("restore %s into %s, keep %t", b, o.ClusterID, o.KeepSessions)
}

func (f *fake) SaveSnapshot(_ context.Context, w io.Writer) error {
	if err := f.called("snapshot"); err != nil {
		return err
	}
	_, err := io.WriteString(w, "SNAPSHOT")
	return err
}
