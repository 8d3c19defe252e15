package admin

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/fsm"
)

const testResume = `{"schema":1,"bot":"default","shard":3,"total":4,"session_id":"s","resume_url":"wss://r","seq":7,"guilds":1}`

// TestStateOfADisconnectedShard brings the guilds of one backend into another,
// as the client does.
func TestStateOfADisconnectedShard(t *testing.T) {
	f := newFake(t)
	client := &Client{BaseURL: serve(t, ServerOptions{Backend: f})}
	f.apply(&fsm.Disconnect{Bot: "default", Shard: testShard, Epoch: 1})
	var out bytes.Buffer
	if err := client.ExportShard(t.Context(), "0", &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `{"t":"GUILD_CREATE","d":{"id":"`+testGuild) || !strings.Contains(lines[1], `"username":"joe"`) {
		t.Fatalf("exported %q", lines)
	}
	if !strings.Contains(lines[0], `"future":{"x":1}`) || !strings.Contains(lines[0], `"name":"general"`) {
		t.Errorf("the guild is %s", lines[0])
	}
	values := json.NewDecoder(&out)
	n, err := client.ImportShard(t.Context(), "0", 1, func() (l StateLine, err error) { return l, values.Decode(&l) })
	if err != nil || n != 2 {
		t.Fatalf("%d imported: %v", n, err)
	}
	if call := f.last(); call != "import 2 events into default/0 of 1" {
		t.Errorf("the backend was asked %q", call)
	}
}

// A state that is larger than a piece is sent in pieces.
func TestStateIsSentInPieces(t *testing.T) {
	f := newFake(t)
	client := &Client{BaseURL: serve(t, ServerOptions{Backend: f})}
	left := 5
	big, err := json.Marshal(map[string]string{"id": "5", "name": strings.Repeat("x", importPiece*2/3)})
	if err != nil {
		t.Fatal(err)
	}
	n, err := client.ImportShard(t.Context(), "0", 1, func() (StateLine, error) {
		if left--; left < 0 {
			return StateLine{}, io.EOF
		}
		return StateLine{T: "GUILD_CREATE", D: big}, nil
	})
	if err != nil || n != 5 {
		t.Fatalf("%d imported: %v", n, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) != 5 {
		t.Errorf("sent in %d pieces: %q", len(f.calls), f.calls)
	}
}

func TestClientDisconnectsAndConnects(t *testing.T) {
	f := newFake(t)
	client := &Client{BaseURL: serve(t, ServerOptions{Backend: f})}
	r, err := client.DisconnectShard(t.Context(), "3", 1500*time.Millisecond)
	if err != nil || r.Seq != 7 || r.SessionID != "s" || f.last() != "disconnect default/3 within 1.5s" {
		t.Fatalf("%+v, %v", r, err)
	}
	sh, err := client.ConnectShard(t.Context(), "3", ConnectRequest{To: "joe", Resume: &r})
	if err != nil || sh.Total != 4 || f.last() != `connect default/3 of 4 to "joe" from 7` {
		t.Fatalf("%+v, %v", sh, err)
	}
	f.fail(ErrUnknownShard)
	if _, err := client.ConnectShard(t.Context(), "3", ConnectRequest{}); ExitCode(err) != ExitFailed {
		t.Errorf("an unknown shard: %v", err)
	}
}
