package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/rest"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
)

// botRuntime is what a node holds of a bot besides its replicated state: its
// way to Discord's REST API.
type botRuntime struct {
	n     *Node
	bot   *Bot
	token sealedToken

	mu      sync.Mutex // guards what follows
	trip    *rest.RoundTripper
	limiter *rest.Cluster // nil until it is needed
	api     string
	gateway string // the general gateway address, as Discord last gave it
	refused string // why Discord refuses the bot, "" if it doesn't
}

func newBotRuntime(n *Node, b *Bot) *botRuntime {
	rt := &botRuntime{n: n, bot: b}
	n.acquired("rest "+b.Name, rt.close)
	return rt
}

func (rt *botRuntime) options() *shard.BotOptions {
	return &shard.BotOptions{
		Name:  rt.bot.Name,
		Token: rt.tokenNow,
		GatewayURL: func(ctx context.Context) (string, error) {
			return rt.gatewayURL(ctx)
		},
		Info: func(ctx context.Context) (shard.GatewayInfo, error) {
			rt.awaitInterests(ctx)
			return rt.info(ctx)
		},
		Compression: rt.n.o.Compression,
		Dial:        rt.n.o.dialer(),
		Handlers:    rt.bot.Handlers,
		Schedules:   rt.bot.Schedules,
		OnLive:      rt.bot.OnLive,
		OnGone:      rt.bot.OnGone,
	}
}

func (rt *botRuntime) close() error {
	if rt.bot.Close != nil {
		rt.bot.Close()
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.trip != nil {
		rt.trip.Close()
	}
	if rt.limiter != nil {
		rt.limiter.Close()
	}
	return nil
}

// client returns the way to the API that the replicated configuration names.
func (rt *botRuntime) client() (*rest.RoundTripper, string, error) {
	api, perSecond := rt.bot.Seed.API, rt.bot.Seed.RESTPerSecond
	rt.n.machine.View(func(_ uint64, s *fsm.State) {
		if b := s.Bot(rt.bot.Name); b != nil {
			api, perSecond = b.Config.API, b.Config.RESTPerSecond
		}
	})
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.limiter == nil {
		// One for as long as the process lives, whatever becomes of the API: the other
		// nodes have its requests and its places in their books.
		rt.limiter = rest.NewCluster(rest.ClusterOptions{
			Self: rest.Member{ID: rt.n.self.ID, Inc: rt.n.self.Inc}, Peers: restPeers{rt.n, rt.bot.Name},
			GlobalPerSecond: globalLimit(api, perSecond), Logger: rt.n.log.Named("rest"),
		})
		rt.limiter.SetView(rt.n.view())
	}
	rt.limiter.SetGlobalPerSecond(globalLimit(api, perSecond))
	if rt.trip != nil && rt.api == api {
		return rt.trip, api, nil
	}
	trip, err := rest.New(rest.Options{
		BaseURL: api, Dial: rt.n.o.dialer(), Token: rt.tokenNow,
		Limiter:   rt.limiter,
		UserAgent: discord.UserAgent(rt.n.o.Version),
		Gate: func(context.Context) error {
			if !rt.n.manager.Fresh() {
				return shard.ErrNotFresh
			}
			return nil
		},
		Logger: rt.n.log.Named("rest"),
	})
	if err != nil {
		return nil, "", err
	}
	if rt.trip != nil {
		rt.trip.Close()
	}
	rt.trip, rt.api, rt.gateway = trip, api, ""
	return trip, api, nil
}

// globalLimit is the number of requests a second that the cluster sends at most.
// Discord's own limit is 50 (topics/rate-limits.mdx, "Global Rate Limit"); what
// another address allows is found out by its answers.
func globalLimit(api string, setting int) int {
	switch u, err := url.Parse(api); {
	case setting > 0:
		return setting
	case err == nil && (u.Hostname() == "discord.com" || strings.HasSuffix(u.Hostname(), ".discord.com")):
		return 50
	}
	return rest.Unlimited
}

// REST returns a bot's way to Discord's REST API and the API's base URL.
func (n *Node) REST(bot string) (http.RoundTripper, string, error) {
	rt := n.bots[bot]
	if rt == nil {
		return nil, "", fmt.Errorf("no bot %q in this program", bot)
	}
	return rt.client()
}

// get reads a JSON object of the API.
func (rt *botRuntime) get(ctx context.Context, path string, into any) error {
	trip, api, err := rt.client()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api+path, nil)
	if err != nil {
		return err
	}
	res, err := trip.RoundTrip(req)
	if err != nil {
		return rest.Redact(err)
	}
	defer func() { _ = res.Body.Close() }()
	rt.noteRefusal(res.StatusCode)
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return answered{fmt.Errorf("discord answers %s to GET %s", res.Status, path)}
	}
	return json.Unmarshal(body, into)
}

// answered is an error of a request that Discord has answered.
type answered struct{ error }

func (e answered) Unwrap() error      { return e.error }
func (answered) Is(target error) bool { return target == shard.ErrAnswered }

// noteRefusal keeps in mind that Discord refuses the token: package rest sends
// nothing with it any more, so that no later answer would tell.
func (rt *botRuntime) noteRefusal(status int) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.refused = ""
	if status == http.StatusUnauthorized {
		rt.refused = "401 unauthorized: the token is wrong"
	}
}

// refusal returns why Discord refuses the bot, "" if it doesn't.
func (rt *botRuntime) refusal() string {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.refused
}

// interestsTimeout bounds awaitInterests: a bot that runs goes before its readers.
const interestsTimeout = 5 * time.Second

// awaitInterests waits, where a bot has just been made, until the log says what its journal takes. No session begins before
// the session start limit is read, and what came in one until then would be in no reader's journal: an answer to
// RequestMembers, say, that is waited for.
func (rt *botRuntime) awaitInterests(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, interestsTimeout)
	defer cancel()
	for {
		changed, known := rt.n.machine.Changed(), false
		rt.n.State(func(s *fsm.State) {
			b := s.Bot(rt.bot.Name)
			known = b != nil && b.InterestsRev > 0
		})
		if known {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// info implements shard.BotOptions.Info (events/gateway.mdx, "Get Gateway Bot").
func (rt *botRuntime) info(ctx context.Context) (shard.GatewayInfo, error) {
	var answer struct {
		URL    string `json:"url"`
		Shards int    `json:"shards"`
		Limit  struct {
			Total          int `json:"total"`
			Remaining      int `json:"remaining"`
			MaxConcurrency int `json:"max_concurrency"`
		} `json:"session_start_limit"`
	}
	if err := rt.get(ctx, "/gateway/bot", &answer); err != nil {
		return shard.GatewayInfo{}, err
	}
	if answer.URL == "" || answer.Shards < 1 {
		return shard.GatewayInfo{}, answered{errors.New("discord's answer to Get Gateway Bot names no gateway")}
	}
	rt.mu.Lock()
	rt.gateway = answer.URL
	rt.mu.Unlock()
	return shard.GatewayInfo{
		URL: answer.URL, Shards: answer.Shards, Remaining: answer.Limit.Remaining,
		Limit: answer.Limit.Total, MaxConcurrency: answer.Limit.MaxConcurrency,
	}, nil
}

func (rt *botRuntime) gatewayURL(ctx context.Context) (string, error) {
	rt.mu.Lock()
	known := rt.gateway
	rt.mu.Unlock()
	if known != "" {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	info, err := rt.info(ctx)
	if err != nil {
		rt.n.log.Debug("gateway address not read", zap.String("bot", rt.bot.Name), zap.Error(err))
	}
	return info.URL, err
}
