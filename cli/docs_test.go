package cli

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/botnode/botnode/admin"
)

// reference writes docs/reference.md.
func reference() string {
	var b strings.Builder
	b.WriteString("# Reference\n\nMade from the table of flags, the table of a bot's keys and the commands; `go test ./cli -run Reference -update` writes it anew.\n")
	section := func(title, intro string, scopes ...scope) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| flag | environment | key of the file | default | |\n|---|---|---|---|---|\n", title, intro)
		for _, d := range flags(scopes...) {
			key := "`" + d.key() + "`"
			switch {
			case d.noFile || d.scope == scopeGlobal:
				key = ""
			case d.scope == scopeSeed:
				key = "`bots: NAME: " + d.key() + "`"
			}
			fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s | %s |\n", strings.TrimSpace(d.name+" "+pipes(d.value)), d.env(), key, defaultText(d.def), pipes(d.usage))
		}
	}
	section("start", "Precedence: flag, environment, file. A Discord token is never a flag's value.", scopeStart)
	section("start: seeds of the bot's configuration", "They hold for a bot that doesn't exist yet. Later its replicated configuration holds: `botnode config`.", scopeSeed)
	section("Every command that speaks to a node", "`BOTNODE_ADMIN_TOKEN` or `BOTNODE_ADMIN_TOKEN_FILE` has the admin API's token.", scopeGlobal)
	b.WriteString("\n## A bot's section in the file\n\nUnder `bots: NAME:`, for `start` (a seed) and `config apply`.\n\n| key | |\n|---|---|\n")
	for _, k := range botKeyTable {
		fmt.Fprintf(&b, "| `%s` | %s |\n", k.name, pipes(k.usage))
	}
	fmt.Fprintf(&b, "| `%s` | the author's own settings for this bot, over those of the file's own `%s:`; this node's, not replicated |\n", appKey, appKey)
	b.WriteString("\n## Commands\n\n| command | |\n|---|---|\n")
	walk(newApp(Options{}).root, func(c *cobra.Command) {
		if c.HasSubCommands() || c.Name() == "help" {
			return
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", pipes(strings.TrimSuffix(c.UseLine(), " [flags]")), pipes(c.Short))
	})
	b.WriteString("\n## The admin API\n\nBelow `/v1`, with the right that a route takes of an admin token: operator has what read has, admin everything. " +
		"A configuration that names another API, and a session that is brought along to `connect`, take admin, too: the bot's token is sent there. " +
		"`/livez` and `/readyz` take none, `/metrics` takes read.\n\n| route | right |\n|---|---|\n")
	for _, r := range admin.Routes() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r.Pattern, r.Right)
	}
	return b.String()
}

// pipes keeps a text inside its cell of a table.
func pipes(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func defaultText(def any) string {
	switch text := fmt.Sprint(def); text {
	case "", "[]", "0", "false":
		return ""
	default:
		return "`" + text + "`"
	}
}

func walk(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		walk(sub, f)
	}
}

// TestFlagValues: what the help shows for a flag's value is a word. The flags' library takes it from the first text in
// backquotes, where there is one.
func TestFlagValues(t *testing.T) {
	walk(newApp(Options{}).root, func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if value, _ := pflag.UnquoteUsage(f); strings.ContainsRune(value, ' ') {
				t.Errorf("%s --%s: %q stands for its value", c.CommandPath(), f.Name, value)
			}
		})
	})
}

func TestReference(t *testing.T) {
	path := filepath.Join("..", "docs", "reference.md")
	if *update {
		if err := os.WriteFile(path, []byte(reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != reference() {
		t.Errorf("docs/reference.md is not current (%v): go test ./cli -run Reference -update", err)
	}
}

// TestFlagTable: every flag of start and every global flag is in the table, and
// no two share a variable.
func TestFlagTable(t *testing.T) {
	seen := map[string]bool{"BOTNODE_TOKEN": true, "BOTNODE_ADMIN_TOKEN": true, "BOTNODE_ADMIN_TOKEN_FILE": true}
	for _, d := range flagTable {
		if seen[d.env()] {
			t.Errorf("%s is taken twice", d.env())
		}
		seen[d.env()] = true
		if strings.Contains(d.name, "token") && !strings.HasSuffix(d.name, "token-file") {
			t.Errorf("--%s: a token is never a flag's value", d.name)
		}
	}
	for _, name := range []string{
		"id", "data-dir", "cluster-addr", "advertise-addr", "http-addr", "http-tls-cert", "http-tls-key", "proxy-addr", "proxy-public-url", "proxy-tls-cert", "proxy-tls-key", "metrics-addr", "bootstrap", "join", "bootstrap-expect",
		"sync-nodes", "sync-timeout", "config", "token-file", "builtin", "log-level", "log-format", "insecure", "discord-api", "shards",
		"intents", "placement", "failback", "failback-after", "weight", "max-shards", "backup-dir", "backup-every", "backup-keep",
	} {
		if startFlags().Lookup(name) == nil {
			t.Errorf("start has no --%s", name)
		}
	}
}

// TestCommands: the contract's commands are there, and say what they do.
func TestCommands(t *testing.T) {
	root := newApp(Options{}).root
	for _, path := range []string{
		"start", "join", "leave", "status", "wait", "doctor", "version", "node list", "node show", "node drain", "node undrain",
		"node remove", "node promote", "node demote", "members", "drain", "undrain", "leader transfer", "shard list", "shard show", "shard move",
		"shard connect", "shard disconnect", "shards", "takeover", "cache guild", "cache stats", "kv get", "kv put", "kv delete", "kv list",
		"kv watch", "events", "dead-letter list", "dead-letter retry", "dead-letter drop", "config show", "config check", "config diff",
		"config apply", "client-key create", "client-key list", "client-key revoke", "snapshot save", "snapshot inspect", "snapshot restore", "recover",
	} {
		cmd, rest, err := root.Find(strings.Fields(path))
		if err != nil || len(rest) > 0 || cmd == root {
			t.Errorf("no command %s", path)
		}
	}
	walk(root, func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: %q", c.CommandPath(), c.Short)
		}
	})
}

var (
	logCode     = regexp.MustCompile(`(?:zap\.String\("code", |\bwhy\()"([^"]+)"`)
	problemCode = regexp.MustCompile(`\badd\("([a-z_]+)", `)
	documented  = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
)

// TestEveryCodeIsDocumented: docs/errors.md has a row for each code that a log,
// a status or an answer of the API can carry, and none for others.
func TestEveryCodeIsDocumented(t *testing.T) {
	want := map[string]string{}
	for _, code := range admin.Codes() {
		want[code] = "the API"
	}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "testdata", "node_modules", "tools", "test"}, d.Name()) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range logCode.FindAllSubmatch(text, -1) {
			want[string(m[1])] = path
		}
		if filepath.Base(path) == "status.go" {
			for _, m := range problemCode.FindAllSubmatch(text, -1) {
				want[string(m[1])] = path
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 40 {
		t.Fatalf("only %d codes found", len(want))
	}
	text, err := os.ReadFile(filepath.Join("..", "docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, m := range documented.FindAllSubmatch(text, -1) {
		have[string(m[1])] = true
	}
	for _, code := range slices.Sorted(maps.Keys(want)) {
		if !have[code] {
			t.Errorf("docs/errors.md lacks %s (%s)", code, want[code])
		}
	}
	for code := range have {
		if want[code] == "" {
			t.Errorf("docs/errors.md explains %s, which nothing has", code)
		}
	}
}
