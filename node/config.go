package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
)

// Configure implements admin.Backend.
func (n *Node) Configure(ctx context.Context, bot string, rev uint64, config json.RawMessage) (uint64, error) {
	c, err := fsm.ParseConfig(config)
	if err == nil {
		err = checkConfig(&c)
	}
	if err != nil {
		return 0, admin.WithHint(fmt.Errorf("%w: %w", admin.ErrBadRequest, err), "`botnode config show` prints a configuration that is right")
	}
	res, err := n.command(ctx, func(*fsm.State) fsm.Command {
		return &fsm.Configure{Bot: bot, Rev: rev, Config: config}
	})
	return res.Version, err
}

// checkConfig refuses values that no part of a node can do anything with.
func checkConfig(c *fsm.Config) error {
	u, err := url.Parse(c.API)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil:
		return fmt.Errorf("api: %q is not an http or https address", c.API)
	case c.RetainBytes < 0 || c.IdentifyReserve < 0 || c.RESTPerSecond < 0:
		return errors.New("retain_bytes, identify_reserve and rest_per_second are not below 0")
	case c.MaxAttempts < 1:
		return errors.New("max_attempts: an event is tried at least once")
	}
	if _, err := fsm.ParsePlacement(c.Placement); err != nil {
		return fmt.Errorf("placement: %w", err)
	}
	return nil
}

// configEvery is how often a node looks whether a configuration has changed.
const configEvery = 200 * time.Millisecond

// followConfigs acts on changed configurations where neither Apply nor package
// shard does: REST limits, and while this node leads, what the journal takes.
func (n *Node) followConfigs() {
	tick := time.NewTicker(configEvery)
	defer tick.Stop()
	limits := make(map[string]uint64)    // revision that was acted on, by bot
	interests := make(map[string]uint64) // the same, in this node's leadership
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		_, leads := n.raft.Load().Established()
		if !leads {
			clear(interests) // the next leader may have another program
		}
		for _, b := range n.o.Bots {
			rev := n.configRev(b.Name)
			if rev != limits[b.Name] && n.bots[b.Name].reconfigure() == nil {
				limits[b.Name] = rev
			}
			if leads && rev > 0 && rev != interests[b.Name] && n.followInterests(b) {
				interests[b.Name] = rev
			}
		}
	}
}

// followInterests reports whether the journal takes what it is to take now.
func (n *Node) followInterests(b *Bot) bool {
	ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
	defer cancel()
	err := n.establishInterests(ctx, b)
	if err != nil {
		n.log.Debug("interests not established; trying again", zap.String("bot", b.Name), zap.Error(err))
	}
	return err == nil
}

// reconfigure has requests that are made from now on keep the configured limit
// and go to the configured address.
func (rt *botRuntime) reconfigure() error {
	rt.mu.Lock()
	none := rt.trip == nil
	rt.mu.Unlock()
	if none {
		return nil // the first request will read the configuration
	}
	_, _, err := rt.client()
	return err
}

func (n *Node) configRev(bot string) (rev uint64) {
	n.machine.View(func(_ uint64, s *fsm.State) {
		if b := s.Bot(bot); b != nil {
			rev = b.ConfigRev
		}
	})
	return rev
}
