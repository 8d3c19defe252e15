package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

func (a *app) configCommand() *cobra.Command {
	show := query(a, &cobra.Command{
		Use: "show", Short: "Print the bot's replicated configuration", Args: exactly(),
		Long: "Print the bot's replicated configuration in the form of a configuration file's bots: section, to edit and `config apply`.",
	}, func(ctx context.Context, c *admin.Client, _ []string) (admin.BotConfig, error) { return c.Config(ctx) }, a.showConfig)
	check := &cobra.Command{
		Use: "check FILE", Short: "Check a configuration file", Args: exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return a.checkFile(args[0]) },
	}
	diff := a.remote(&cobra.Command{Use: "diff FILE", Short: "Show what `config apply` would change", Args: exactly("FILE")}, readTimeout,
		func(ctx context.Context, c *admin.Client, args []string) error {
			_, _, err := a.configDiff(ctx, c, args[0])
			return err
		})
	apply := a.remote(&cobra.Command{
		Use: "apply FILE", Short: "Change the bot's replicated configuration", Args: exactly("FILE"),
		Long: "Change the bot's replicated configuration to what its section under bots: says; keys that the section leaves out keep their values. It prints what changes and how that takes effect. It changes nothing if another change came between, or if anything in it can't change while the bot runs.",
	}, commandTimeout, a.applyConfig)
	return a.group("config", "The bot's replicated configuration", nil, show, check, diff, apply)
}

// configLine is a key of a bot's section and its value; a kind of the caches is
// a key of its own.
type configLine struct{ key, value string }

func (l configLine) String() string { return l.key + ": " + l.value }

// configLines writes a configuration as the lines of a bot's section.
func configLines(c fsm.Config) []configLine {
	lines := []configLine{
		{"discord_api", c.API},
		{"intents", yamlText(discord.Intents(c.Intents).String())},
		{"shards", yamlText(c.Shards)},
		{"placement", yamlText(c.Placement)},
		{"failback", strconv.FormatBool(c.Failback)},
		{"failback_after", (time.Duration(c.FailbackAfterMS) * time.Millisecond).String()},
		{"retain_bytes", strconv.FormatInt(c.RetainBytes, 10)},
		{"max_attempts", strconv.Itoa(c.MaxAttempts)},
		{"identify_reserve", strconv.Itoa(c.IdentifyReserve)},
		{"rest_per_second", strconv.Itoa(c.RESTPerSecond)},
	}
	if len(c.Journal) > 0 {
		lines = append(lines, configLine{"journal", "[" + strings.Join(c.Journal, ", ") + "]"})
	}
	if len(c.Presence) > 0 {
		lines = append(lines, configLine{"presence", string(c.Presence)})
	}
	for _, kind := range slices.Sorted(maps.Keys(c.Caches)) {
		lines = append(lines, configLine{cachePrefix + kind, policyLine(c.Caches[kind])})
	}
	return lines
}

const cachePrefix = "caches."

// yamlText quotes a text where YAML would take it for something else.
func yamlText(s string) string {
	b, err := yaml.Marshal(s)
	if err != nil {
		return s
	}
	return strings.TrimSpace(string(b))
}

func decodeConfig(raw json.RawMessage) (fsm.Config, error) {
	c := fsm.DefaultConfig()
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("the configuration can't be read: %w", err)
	}
	return c, nil
}

func (a *app) showConfig(b admin.BotConfig) {
	c, err := decodeConfig(b.Config)
	if err != nil {
		a.printf("%s\n", b.Config)
		return
	}
	a.printf("%s\nbots:\n  %s:\n", a.style.dim(fmt.Sprintf("# revision %d", b.Revision)), yamlText(b.Bot))
	nested := false
	for _, l := range configLines(c) {
		kind, ok := strings.CutPrefix(l.key, cachePrefix)
		if ok && !nested {
			a.printf("    caches:\n")
			nested = true
		}
		if ok {
			a.printf("      %s: %s\n", kind, l.value)
			continue
		}
		a.printf("    %s\n", l)
	}
}

// checkFile reads a file as start and apply do.
func (a *app) checkFile(path string) error {
	f, err := readFile(path)
	if err != nil {
		return err
	}
	fs := startFlags()
	for _, d := range flags(scopeStart) {
		if e, ok := f.keys[d.key()]; ok {
			value, err := f.words(e)
			if err == nil {
				err = fs.Set(d.name, value)
			}
			if err != nil {
				return usagef("%s:%d: %s: %w", path, e.line, d.key(), err)
			}
		}
	}
	if _, err := proxyOptions(fs); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, name := range f.botNames() {
		c := fsm.DefaultConfig()
		if err := f.apply(&c, name, f.bots[name]); err != nil {
			return err
		}
		if _, err := f.settings(name); err != nil {
			return err
		}
	}
	a.printf("%s is right: %s, %s\n", path, plural(len(f.keys), "key"), plural(len(f.bots), "bot"))
	return nil
}

// configDiff prints what a file changes, and returns the replicated
// configuration and the one to put in its place, nil if they are the same.
func (a *app) configDiff(ctx context.Context, client *admin.Client, path string) (admin.BotConfig, json.RawMessage, error) {
	f, err := readFile(path)
	if err != nil {
		return admin.BotConfig{}, nil, err
	}
	if client.Bot == "" && len(f.bots) == 1 {
		client.Bot = f.botNames()[0]
	}
	now, err := client.Config(ctx)
	if err != nil {
		return now, nil, err
	}
	section, ok := f.bots[now.Bot]
	if !ok {
		return now, nil, usagef("%s has no section bots: %s:", path, now.Bot)
	}
	c, err := decodeConfig(now.Config)
	if err != nil {
		return now, nil, err
	}
	before := configLines(c)
	if err := f.apply(&c, now.Bot, section); err != nil {
		return now, nil, err
	}
	if !a.printDiff(before, configLines(c)) {
		return now, nil, nil
	}
	next, err := configJSON(c)
	return now, next, err
}

// printDiff prints the keys that differ and how each change takes effect. It
// returns whether there is one.
func (a *app) printDiff(before, after []configLine) bool {
	old, next := make(map[string]string), make(map[string]string)
	for _, l := range before {
		old[l.key] = l.value
	}
	for _, l := range after {
		next[l.key] = l.value
	}
	var changed []string
	for _, l := range append(before, after...) { // the keys that go stand where they were
		was, had := old[l.key]
		is, has := next[l.key]
		if slices.Contains(changed, l.key) || had && has && was == is {
			continue
		}
		changed = append(changed, l.key)
		if had {
			a.printf("%s\n", a.style.red("- "+l.key+": "+was))
		}
		if has {
			a.printf("%s\n", a.style.green("+ "+l.key+": "+is))
		}
	}
	if len(changed) == 0 {
		a.printf("nothing changes\n")
	}
	for _, k := range botKeyTable {
		if slices.ContainsFunc(changed, func(key string) bool { return key == k.name || strings.HasPrefix(key, k.name+".") }) {
			a.printf("%s\n", a.style.dim("  "+k.name+" takes effect: "+k.effect))
		}
	}
	return len(changed) > 0
}

func (a *app) applyConfig(ctx context.Context, client *admin.Client, args []string) error {
	now, next, err := a.configDiff(ctx, client, args[0])
	if err != nil || next == nil {
		return err
	}
	rev, err := client.Configure(ctx, now.Revision, next)
	if err != nil {
		return err
	}
	a.printf("bot %s has revision %d\n", now.Bot, rev)
	return nil
}
