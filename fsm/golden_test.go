package fsm

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	formats "github.com/botnode/botnode/internal/golden"
)

// samples has a command of every kind with its fields set.
func samples() map[Kind]Command {
	reads := []KVRead{{Key: "a", Version: 3}, {Key: "b"}}
	writes := []KVChange{{Key: "a", Value: []byte("1")}, {Key: "b", Delete: true, Value: []byte{}, Expires: 1700000000000}, {Key: "n", Value: []byte{}, Add: -3}}
	return map[Kind]Command{
		KindInit:      &Init{ClusterID: "cluster"},
		KindUp:        &Up{Node: joe, Weight: 300, MaxShards: 8},
		KindDown:      &Down{Node: joe},
		KindForget:    &Forget{ID: "joe"},
		KindDrain:     &Drain{ID: "joe", On: true},
		KindRules:     &Rules{N: 1},
		KindEnlist:    &Enlist{Node: joe},
		KindRenew:     &Renew{Generation: 2, KeepSessions: true},
		KindConfigure: &Configure{Bot: testBot, Rev: 1, Config: []byte(`{}`)},
		KindLayout:    &Layout{Bot: testBot, Total: 2, From: 0, To: 1},
		KindInterests: &Interests{Bot: testBot, Rev: 1, List: []Interest{
			{Type: "MESSAGE_CREATE", Handlers: []string{"ping"}}, {Type: "TYPING_START"},
		}},
		KindBudget: &Budget{Bot: testBot, Budget: IdentifyBudget{Remaining: 9, Limit: 1000, MaxConcurrency: 16}},
		KindGrant: &Grant{
			Bot: testBot, Shard: shard1, Epoch: 300, To: mike, Adopt: true, Why: WhyFailover, From: joe,
		},
		KindPermit: &Permit{Bot: testBot, Shard: shard1, Epoch: 1, Key: 3, Ask: 7},
		KindClear:  &Clear{Bot: testBot, Shard: shard1, Epoch: 1, Key: 3, Ask: 7},
		KindReady: &Ready{
			Bot: testBot, Shard: shard1, Epoch: 1, SID: "s", URL: "wss://r", S: 1, At: 1700000000000, Raw: []byte(`{}`), After: 7, Intents: 513,
		},
		KindEvents: &Events{
			Bot: testBot, Shard: shard1, Epoch: 1, SID: "s", Prev: 1, At: 1700000000000, Jump: true,
			Evs: []Event{
				{S: 3, Type: "MESSAGE_CREATE", Guild: 5, Lane: 5, Raw: []byte(`{"id":"1"}`), Slices: []byte{2, 6, 3}},
				{S: 4, Type: "RESUMED", Deep: true, Raw: []byte(`{}`)},
				{S: 9, Type: "MESSAGE_CREATE", Lane: 6, Raw: []byte(`{"id":"2"}`)},
			},
		},
		KindReidentify: &Reidentify{Bot: testBot, Shard: shard1, Epoch: 1, SID: "s"},
		KindSweep:      &Sweep{Bot: testBot, Step: 300, Most: 2000},
		KindLost:       &Lost{Bot: testBot, Shard: shard1, Epoch: 1, SID: "s"},
		KindDisconnect: &Disconnect{Bot: testBot, Shard: shard1, Epoch: 300},
		KindConnect: &Connect{
			Bot: testBot, Shard: shard1, Epoch: 301, To: mike, SID: "s", URL: "wss://r", C: 17, Guilds: 2, At: 1700000000000,
		},
		KindImport: &Import{Bot: testBot, Shard: shard1, Epoch: 301, Evs: []Imported{
			{Type: "GUILD_CREATE", Raw: []byte(`{"id":"1"}`)}, {Type: "GUILD_MEMBERS_CHUNK", Raw: []byte(`{"guild_id":"1"}`)},
		}},
		KindPin:           &Pin{Bot: testBot, Rev: 3, To: "mike", Why: WhyTakeover, Layout: 2, Shards: []uint32{0, 1}},
		KindPutClientKey:  &PutClientKey{Bot: testBot, Key: ClientKey{Name: "web", Hash: [32]byte{1, 2, 3}, Rights: RightEvents | RightREST, At: 1700000000000}},
		KindDropClientKey: &DropClientKey{Bot: testBot, Name: "web", Hash: [32]byte{1, 2, 3}},
		KindOpenClient: &OpenClient{Bot: testBot, Session: ClientSession{
			SID: "c1", Key: "web", Shard: 1, Shards: 2, Intents: 513, Node: joe, Until: 1700000000000, Conn: 9,
		}, Room: 300, Gaps: 301},
		KindAttachClient:  &AttachClient{Bot: testBot, SID: "c1", Attach: 1, Conn: 10, Seq: 7, Node: mike, Until: 1700000000000},
		KindTouchClient:   &TouchClient{Bot: testBot, SID: "c1", Attach: 2, Seq: 8, Through: 9, Until: 1700000000000},
		KindCloseClient:   &CloseClient{Bot: testBot, SID: "c1", Attach: 2},
		KindExpireClients: &ExpireClients{Bot: testBot, Now: 1700000000000},
		KindCharter:       &Charter{Node: "joe", Authority: Authority{Epoch: 1, Cert: []byte("cert"), Key: []byte("key")}, NotAfter: 1700000000},
		KindPutJoinToken:  &PutJoinToken{Rev: 3, Token: JoinToken{ID: "t", Hash: [32]byte{1, 2, 3}, Expires: 1700000000000}, Now: 1600000000000},
		KindDropJoinToken: &DropJoinToken{ID: "t"},
		KindEnrol:         &Enrol{Token: "t", Node: "mike", Enrolment: 2, Holds: 1, Cert: 1, NotAfter: 1700000000, Now: 1600000000000},
		KindHold:          &Hold{Node: "mike", Enrolment: 2, Holds: 2, Cert: 1, NotAfter: 1700000000},
		KindRotate: &Rotate{
			Rev: 5, Authority: Authority{Epoch: 2, Cert: []byte("cert2"), Key: []byte("key2")}, Secret: SealedSecret{Epoch: 2, Under: 1, Box: []byte("box")},
		},
		KindPutAdminToken:  &PutAdminToken{Rev: 3, Token: AdminToken{Name: "ci", Hash: [32]byte{1, 2, 3}, Right: AdminOperate, At: 1600000000000, Expires: 1700000000000}},
		KindDropAdminToken: &DropAdminToken{Name: "ci", Hash: [32]byte{1, 2, 3}},
		KindSetBotToken:    &SetBotToken{Bot: testBot, Rev: 3, Epoch: 2, Box: []byte("box")},
		KindStateHash:      &StateHash{HashPoint{Index: 10_000, Digest: Digest{Hi: 1, Lo: 1 << 63}}},
		KindDone: &Done{
			Bot: testBot, Shard: shard1, Pos: 1, Handler: "ping", Runner: joe, Reads: reads, Writes: writes,
			Ranges: []KVRange{{Prefix: "p/", To: "p/q", Sum: 300}},
		},
		KindFail: &Fail{Bot: testBot, Shard: shard1, Pos: 1, Runner: joe, Attempts: 2, Alone: true, Failed: []HandlerError{{Handler: "ping", Err: "boom", Limit: 9}}},
		KindDead: &Dead{Bot: testBot, Pos: 1, Retry: true},
		KindKVWrite: &KVWrite{
			Bot: testBot, ID: 77, Conditional: true, IfVersion: 3, Change: KVChange{Key: "a", Value: []byte("1")},
			Lock: "l", Fence: 4,
		},
		KindProgram: &Program{Node: joe, Bots: []BotProgram{
			{Bot: testBot, Handlers: []Interest{{Type: "MESSAGE_CREATE", Handlers: []string{"ping"}}}},
		}},
		KindTick:     &Tick{Bot: testBot, Name: "daily", Due: 1700000000000, At: 1700000000001, Quiet: true},
		KindPresence: &Presence{Bot: testBot, Rev: 3, Shard: AllShards, Raw: []byte(`{}`)},
		KindExpire:   &Expire{Bot: testBot, Now: 1700000000000},
		KindLock:     &Lock{Bot: testBot, Name: "leader", Node: joe},
		KindUnlock:   &Unlock{Bot: testBot, Name: "leader", Fence: 300},
	}
}

// golden compares got with the named file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	formats.Check(t, name, got)
}

func TestGoldenCommands(t *testing.T) {
	var text strings.Builder
	all := samples()
	for _, k := range slices.Sorted(maps.Keys(table)) {
		cmd := all[k]
		if cmd == nil {
			t.Errorf("kind %d has no sample", k)
			continue
		}
		b := Encode(300, cmd)
		fmt.Fprintf(&text, "%d %T %s\n", k, cmd, hex.EncodeToString(b))
		generation, back, err := Decode(b)
		if err != nil || generation != 300 || !reflect.DeepEqual(cmd, back) {
			t.Errorf("%T: decoded as %+v of generation %d, %v", cmd, back, generation, err)
		}
	}
	golden(t, "commands.txt", text.String())
}

func TestGoldenResults(t *testing.T) {
	results := []Result{
		{}, {Code: Gap, C: -1, Epoch: 300}, {Code: Conflict, Version: 9, Msg: "why"}, {Code: Malformed, C: 1 << 40},
	}
	b := EncodeResults(results)
	golden(t, "results.txt", hex.EncodeToString(b)+"\n")
	parts, err := SplitResults(b, len(results))
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range parts {
		if r, err := DecodeResult(part); err != nil || r != results[i] {
			t.Errorf("result %d: %+v, %v", i, r, err)
		}
	}
	if _, err := SplitResults(b, len(results)+1); err == nil {
		t.Error("results of another number of commands were taken")
	}
}

// TestTableIsWhole reads the constants from the source, so that a new kind
// can't be left out of the table.
func TestTableIsWhole(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "command.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Kind") {
			names[strings.TrimPrefix(v.Names[0].Name, "Kind")] = true
		}
		return true
	})
	if len(names) != len(table) {
		t.Errorf("%d kinds, %d in the table", len(names), len(table))
	}
	for kind, blank := range table {
		cmd := blank()
		if cmd.Kind() != kind {
			t.Errorf("the table has %T under %d, but its kind is %d", cmd, kind, cmd.Kind())
		}
		if name := reflect.TypeOf(cmd).Elem().Name(); !names[name] {
			t.Errorf("no constant Kind%s", name)
		}
		if kind&Skippable != 0 {
			t.Errorf("kind %d is skippable: an older node would go on without its effect", kind)
		}
	}
}

func TestGoldenBatch(t *testing.T) {
	small := [][]byte{[]byte("one"), nil, []byte("three")}
	big := [][]byte{bytes.Repeat([]byte("abcdefgh"), 1000), []byte("x")}
	for _, cmds := range [][][]byte{small, big, nil} {
		entry := EncodeBatch(cmds)
		got, err := SplitBatch(entry)
		if err != nil || !slices.EqualFunc(got, cmds, bytes.Equal) {
			t.Errorf("%d commands came back as %q, %v", len(cmds), got, err)
		}
	}
	golden(t, "batch.txt", hex.EncodeToString(EncodeBatch(small))+"\n")
	if entry := EncodeBatch(big); entry[0] != packS2 || len(entry) > 1000 {
		t.Errorf("8000 bytes of repeats packed as %d into %d", entry[0], len(entry))
	}
}

func TestSplitBatchRefuses(t *testing.T) {
	for name, entry := range map[string][]byte{
		"empty":             {},
		"unknown packing":   {9, 0},
		"truncated":         {packRaw, 5, 'a'},
		"impossible size":   {packS2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		"not s2":            {packS2, 4, 1, 2},
		"too many commands": append([]byte{packRaw}, make([]byte, maxCommands+1)...),
	} {
		if cmds, err := SplitBatch(entry); err == nil {
			t.Errorf("%s: taken as %d commands", name, len(cmds))
		}
	}
}
