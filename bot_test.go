package botnode

import (
	"strings"
	"testing"

	"github.com/disgoorg/disgo/gateway"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

func TestEventNamesOfDisgoTypes(t *testing.T) {
	t.Parallel()
	if name, err := eventName[gateway.EventMessageCreate](); err != nil || name != discord.EventMessageCreate {
		t.Errorf("message create: %q, %v", name, err)
	}
	if name, err := eventName[gateway.EventGuildMemberUpdate](); err != nil || name != discord.EventGuildMemberUpdate {
		t.Errorf("member update: %q, %v", name, err)
	}
	if name, err := eventName[gateway.EventInteractionCreate](); err != nil || name != discord.EventInteractionCreate {
		t.Errorf("interaction create: %q, %v", name, err)
	}
	if name, err := eventName[gateway.EventIntegrationUpdate](); err != nil || name != discord.EventIntegrationUpdate {
		t.Errorf("integration update: %q, %v", name, err)
	}
	if _, err := eventName[gateway.EventUnknown](); err == nil {
		t.Error("an unknown event has a name")
	}
}

func TestHandlerNamesAreUnique(t *testing.T) {
	t.Parallel()
	b := New()
	OnRaw(b, "a", discord.EventMessageCreate, func(*Context) error { return nil })
	defer func() {
		if p := recover(); p == nil || !strings.Contains(p.(error).Error(), `"a"`) {
			t.Errorf("a second handler of one name: %v", p)
		}
	}()
	OnRaw(b, "a", discord.EventMessageDelete, func(*Context) error { return nil })
}

func TestDefaultIntentsNeedNoApprovalButMessageContent(t *testing.T) {
	t.Parallel()
	got := DefaultIntents()
	if got&(discord.IntentGuildMembers|discord.IntentGuildPresences) != 0 {
		t.Errorf("privileged intents in %v", got)
	}
	if got&discord.IntentMessageContent == 0 || got&discord.IntentGuildMessages == 0 {
		t.Errorf("messages can't be read with %v", got)
	}
}

func TestEventsOfOneNumberHaveNoncesOfTheirOwn(t *testing.T) {
	t.Parallel()
	a, b := &fsm.Entry{SID: "s", S: 1, Guild: 7}, &fsm.Entry{SID: "s", S: 1, Guild: 8}
	if stream(a) == stream(b) {
		t.Error("the deletions of two guilds by one READY would share their nonces")
	}
}

func TestKVReadsItsOwnWritesAndCommitsWhatItSaw(t *testing.T) {
	t.Parallel()
	kv := &KV{rt: newRuntime(New(), "default"), bot: "default", reads: map[string]uint64{}, writes: map[string]fsm.KVChange{}}
	if n, err := kv.Add("n", 2); err != nil || n != 2 {
		t.Fatalf("first add: %d, %v", n, err)
	}
	if n, err := kv.Add("n", 3); err != nil || n != 5 {
		t.Fatalf("second add: %d, %v", n, err)
	}
	kv.Delete("gone")
	if _, err := kv.Get("gone"); err == nil {
		t.Error("a deleted key is read")
	}
	if err := kv.Put(strings.Repeat("k", fsm.MaxKey+1), nil); err == nil {
		t.Error("a key that is too long is taken")
	}
	reads, writes := kv.commit()
	if len(reads) != 1 || reads[0] != (fsm.KVRead{Key: "n"}) {
		t.Errorf("reads: %+v", reads)
	}
	if len(writes) != 2 || string(writes[0].Value) != "5" || !writes[1].Delete {
		t.Errorf("writes: %+v", writes)
	}
}
