package cli

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/botnode/botnode/fsm"
)

func TestCachePolicies(t *testing.T) {
	var c fsm.Config
	yml := `
members: {max: 100000, filter: "user.bot == false"}
users: {max_bytes: 2 MiB}
emojis: off
roles: on
stickers: {mode: "off"}
presences: {mode: on}
channels: {filter: type == 0}
messages: {mode: bounded, max_count: 5, max_bytes: 1000}
`
	if err := decodeCaches(&c, []byte(yml)); err != nil {
		t.Fatal(err)
	}
	want := map[string]fsm.CachePolicy{
		"members": {Mode: "bounded", MaxCount: 100000, Filter: "user.bot == false"}, "users": {Mode: "bounded", MaxBytes: 2 << 20},
		"emojis": {Mode: "off"}, "roles": {Mode: "on"}, "stickers": {Mode: "off"}, "presences": {Mode: "on"},
		"channels": {Mode: "on", Filter: "type == 0"}, "messages": {Mode: "bounded", MaxCount: 5, MaxBytes: 1000},
	}
	if !reflect.DeepEqual(c.Caches, want) {
		t.Errorf("%+v", c.Caches)
	}
	// What is shown can be read again.
	var shown strings.Builder
	for kind, p := range c.Caches {
		shown.WriteString(kind + ": " + policyLine(p) + "\n")
	}
	again := c
	if err := decodeCaches(&again, []byte(shown.String())); err != nil || !maps.Equal(again.Caches, want) {
		t.Errorf("%s: %+v, %v", shown.String(), again.Caches, err)
	}
	for yml, want := range map[string]string{
		`on`: "kinds with their policies", `member: on`: `did you mean "members"`, `members: {max: x}`: "a number of objects",
		`members: {max: 1, max_count: 2}`: "one of them is enough", `members: {max_bytes: 5 MB}`: "64MiB", `members: 5`: "on, off, or keys",
		`members: {mode: bounded}`: "needs max_count", `members: {mode: some}`: "none of off, on, bounded", `members: {filter: 5}`: "a text",
		`members: {mode: off, max: 5}`: "has no bounds", `members: {mode: [a]}`: "a word", `members: {fitler: x}`: `did you mean "filter"`,
		`members: {max: -1}`: "above 0", `zzzzzzzz: on`: "there are guilds, channels",
	} {
		if err := decodeCaches(&c, []byte(yml)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", yml, err)
		}
	}
}

// TestSettings hands the app: section of the file to the program, which may
// refuse it.
func TestSettings(t *testing.T) {
	got := map[string]map[string]any{}
	program := func(name string) Program {
		return Program{Name: name, Settings: func(app map[string]any) error {
			got[name] = app
			if app["greeting"] == "no" {
				return errors.New("app: greeting: that is rude")
			}
			return nil
		}}
	}
	o := Options{Programs: []Program{program("one"), program("two")}}
	vars := map[string]string{"BOTNODE_TOKEN_ONE": "a", "BOTNODE_TOKEN_TWO": "b"}
	vars["BOTNODE_CONFIG"] = write(t, "app:\n  greeting: hello\n  list: [1, {deep: true}]\nbots:\n  two:\n    app: {greeting: hi, own: 2.5}\n")
	if _, err := configOf(t, o, vars); err != nil {
		t.Fatal(err)
	}
	list := []any{uint64(1), map[string]any{"deep": true}}
	want := map[string]map[string]any{"one": {"greeting": "hello", "list": list}, "two": {"greeting": "hi", "list": list, "own": 2.5}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%#v", got)
	}
	vars["BOTNODE_CONFIG"] = write(t, "app: {greeting: \"no\"}")
	var usage *usageError
	if _, err := configOf(t, o, vars); !errors.As(err, &usage) || !strings.Contains(err.Error(), "rude") {
		t.Errorf("settings that the program refuses: %v", err)
	}
	vars["BOTNODE_CONFIG"] = write(t, "app:\n")
	if _, err := configOf(t, o, vars); err != nil || len(got["one"]) != 0 {
		t.Errorf("no settings: %v, %v", err, got["one"])
	}
}

// TestTokensOfSeveralBots says whose token is missing, and never takes one
// bot's for another.
func TestTokensOfSeveralBots(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{
		"BOTNODE_TOKEN": "shared", "BOTNODE_TOKEN_MUSIC_BOT_2": "music",
		"BOTNODE_CONFIG": write(t, "bots:\n  music-bot.2: {}\n  mod: {token_file: "+token+"}\n"),
	}
	c, err := configOf(t, Options{}, vars)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for _, b := range c.node.Bots {
		tokens[b.Name] = b.Token
	}
	if !maps.Equal(tokens, map[string]string{"music-bot.2": "music", "mod": "from-file"}) {
		t.Errorf("%v", tokens)
	}
	if _, err := configOf(t, Options{}, vars, "--token-file", token); err == nil || !strings.Contains(err.Error(), "there are 2 bots") {
		t.Errorf("one file for two bots: %v", err)
	}
	delete(vars, "BOTNODE_TOKEN_MUSIC_BOT_2")
	if _, err := configOf(t, Options{}, vars); err == nil || !strings.Contains(err.Error(), "bot music-bot.2: no token: set BOTNODE_TOKEN_MUSIC_BOT_2") {
		t.Errorf("a missing token: %v", err)
	}
}
