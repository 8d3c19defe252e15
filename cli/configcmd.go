package cli

import (
	"context"
	"encoding/json"
	"fmt"
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
		Long: "Change the bot's replicated configuration to what its section under bots: says; keys that the section leaves out keep their values. It prints what changes, and fails if another change came between.",
	}, commandTimeout, a.applyConfig)
	return a.group("config", "The bot's replicated configuration", nil, show, check, diff, apply)
}

// configLines writes a configuration as the lines of a bot's section.
func configLines(c fsm.Config) []string {
	lines := []string{
		"discord_api: " + c.API,
		"intents: " + yamlText(discord.Intents(c.Intents).String()),
		"shards: " + yamlText(c.Shards),
		"placement: " + yamlText(c.Placement),
		fmt.Sprintf("failback: %t", c.Failback),
		"failback_after: " + (time.Duration(c.FailbackAfterMS) * time.Millisecond).String(),
		fmt.Sprintf("retain_bytes: %d", c.RetainBytes),
		fmt.Sprintf("max_attempts: %d", c.MaxAttempts),
		fmt.Sprintf("identify_reserve: %d", c.IdentifyReserve),
		fmt.Sprintf("rest_per_second: %d", c.RESTPerSecond),
	}
	if len(c.Journal) > 0 {
		lines = append(lines, "journal: ["+strings.Join(c.Journal, ", ")+"]")
	}
	if len(c.Presence) > 0 {
		lines = append(lines, "presence: "+string(c.Presence))
	}
	if len(c.Caches) > 0 {
		b, err := json.Marshal(c.Caches) // JSON is YAML, and its keys are sorted
		if err == nil {
			lines = append(lines, "caches: "+string(b))
		}
	}
	return lines
}

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
	for _, l := range configLines(c) {
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
	if err := refuseAbsent(fs); err != nil {
		return err
	}
	for _, name := range f.botNames() {
		c := fsm.DefaultConfig()
		if err := f.apply(&c, name, f.bots[name]); err != nil {
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

// printDiff prints the keys that differ, and whether any does.
func (a *app) printDiff(before, after []string) bool {
	old := make(map[string]string)
	for _, l := range before {
		key, _, _ := strings.Cut(l, ":")
		old[key] = l
	}
	changed := false
	for _, l := range after {
		key, _, _ := strings.Cut(l, ":")
		was, had := old[key]
		delete(old, key)
		if was == l {
			continue
		}
		changed = true
		if had {
			a.printf("%s\n", a.style.red("- "+was))
		}
		a.printf("%s\n", a.style.green("+ "+l))
	}
	for _, l := range before {
		if key, _, _ := strings.Cut(l, ":"); old[key] == l {
			changed = true
			a.printf("%s\n", a.style.red("- "+l))
		}
	}
	if !changed {
		a.printf("nothing changes\n")
	}
	return changed
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
