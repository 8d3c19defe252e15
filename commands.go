package botnode

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	dgo "github.com/disgoorg/disgo/discord"
	disgorest "github.com/disgoorg/disgo/rest"
	"github.com/disgoorg/snowflake/v2"
	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

// commandsKey begins the keys of the replicated store that say what was last
// registered at Discord: the scope follows, "global" or a guild's id. The value
// is the hash of the definitions.
const commandsKey = "botnode/commands/"

const globalScope = "global"

// Waits between two attempts to register the commands. What Discord refuses it
// will refuse again, until the day's quota is back or the program has changed.
const (
	registerRetry    = time.Second
	registerRetryMax = time.Minute
	registerRefused  = 10 * time.Minute
)

// lead runs while this node leads the cluster: it brings the definitions of the
// commands to Discord. Every leader looks whether that is to be done, so it is
// done whoever dies; by one at a time, since a deposed leader is refused the
// note that it did it.
func (rt *runtime) lead(ctx context.Context, n *node.Node, log *zap.Logger) {
	for retry := registerRetry; ; retry = min(2*retry, registerRetryMax) {
		err := rt.registerCommands(ctx, n, log)
		if err == nil || ctx.Err() != nil {
			return
		}
		wait := retry
		var refused *disgorest.Error
		if errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode/100 == 4 {
			wait = registerRefused
		}
		log.Warn("the commands are not registered at Discord", zap.String("code", "commands_not_registered"),
			zap.Duration("again_in", wait), zap.Error(rest.Redact(err)))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// commandSets returns the definitions by scope.
func (b *Bot) commandSets() map[string][]dgo.ApplicationCommandCreate {
	sets := make(map[string][]dgo.ApplicationCommandCreate)
	if b.router == nil || len(b.router.defined) == 0 {
		return sets
	}
	if len(b.router.guilds) == 0 {
		sets[globalScope] = b.router.defined
	}
	for _, guild := range b.router.guilds {
		sets[guild.String()] = b.router.defined
	}
	return sets
}

// registerCommands overwrites the commands of each scope whose definitions
// differ from those registered last. A scope that the program has no commands
// for any more is emptied, if the program registered some there.
func (rt *runtime) registerCommands(ctx context.Context, n *node.Node, log *zap.Logger) error {
	want := rt.bot.commandSets()
	have, err := rt.registered(n)
	if err != nil {
		return err
	}
	for scope := range have {
		if _, ok := want[scope]; !ok {
			want[scope] = []dgo.ApplicationCommandCreate{}
		}
	}
	if len(want) == 0 {
		return nil
	}
	client, err := rt.plainREST(n)
	if err != nil {
		return err
	}
	app, err := client.GetCurrentApplication(disgorest.WithCtx(ctx))
	if err != nil {
		return err
	}
	for _, scope := range slices.Sorted(maps.Keys(want)) {
		hash, err := commandsHash(app.ID, want[scope])
		if err != nil {
			return err
		}
		old := have[scope]
		if string(old.Value) == hash {
			continue
		}
		if err := overwrite(ctx, client, app.ID, scope, want[scope]); err != nil {
			return err
		}
		log.Info("commands registered at Discord", zap.String("scope", scope), zap.Int("commands", len(want[scope])))
		_, err = n.WriteKV(ctx, rt.name, commandsKey+scope, []byte(hash), len(want[scope]) == 0, &old.Version)
		if errors.Is(err, admin.ErrConflict) {
			return fmt.Errorf("another node registers them too: %w", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// registered returns what the replicated store says of each scope.
func (rt *runtime) registered(n *node.Node) (map[string]fsm.KVItem, error) {
	have := make(map[string]fsm.KVItem)
	_, err := n.View(rt.name, func(b *fsm.Bot, _ *cache.Cache) {
		for key, item := range b.KVScan(commandsKey, "") {
			have[strings.TrimPrefix(key, commandsKey)] = item
		}
	})
	return have, err
}

// plainREST returns a client of Discord's API that belongs to no handler.
func (rt *runtime) plainREST(n *node.Node) (disgorest.Rest, error) {
	trip, api, err := n.REST(rt.name)
	if err != nil {
		return nil, err
	}
	return disgorest.New(disgorest.NewClient("",
		disgorest.WithHTTPClient(&http.Client{Transport: plainTransport{trip}}),
		disgorest.WithURL(api),
		disgorest.WithRateLimiter(disgorest.NewNoopRateLimiter()),
	)), nil
}

// plainTransport lets the next one add the bot's token.
type plainTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t plainTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Del("Authorization")
	return t.next.RoundTrip(req)
}

// commandsHash identifies definitions and the application that has them.
func commandsHash(app snowflake.ID, defs []dgo.ApplicationCommandCreate) (string, error) {
	b, err := json.Marshal(defs)
	if err != nil {
		return "", fmt.Errorf("the definitions of the commands: %w", err)
	}
	sum := sha256.Sum256(append([]byte(app.String()+" "), b...))
	return hex.EncodeToString(sum[:]), nil
}

// overwrite replaces all commands of a scope
// (interactions/application-commands.mdx, "Bulk Overwrite Global Application Commands").
func overwrite(ctx context.Context, client disgorest.Rest, app snowflake.ID, scope string, defs []dgo.ApplicationCommandCreate) error {
	if scope == globalScope {
		_, err := client.SetGlobalCommands(app, defs, disgorest.WithCtx(ctx))
		return err
	}
	guild, err := snowflake.Parse(scope)
	if err != nil {
		return err
	}
	_, err = client.SetGuildCommands(app, guild, defs, disgorest.WithCtx(ctx))
	return err
}
