package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
)

// complaint is a warning that would be given at each attempt.
type complaint struct {
	text string
	at   time.Time
}

// complainEvery is how often the same warning is given.
const complainEvery = time.Minute

// notRead warns that Discord gave no session start limit, once a minute for as
// long as it is for the same reason.
func (l *leaderLoop) notRead(bot string, err error) {
	l.mu.Lock()
	last, now := l.unread[bot], time.Now()
	again := last.text == err.Error() && now.Sub(last.at) < complainEvery
	if !again {
		l.unread[bot] = complaint{text: err.Error(), at: now}
	}
	l.mu.Unlock()
	if !again {
		l.m.log.Warn("session start limit not read; trying again", zap.String("bot", bot), zap.String("code", "discord_unreachable"), zap.Error(err))
	}
}

// reads notes that a leader begins to read a bot's session start limit, unless
// it is about to already: what asks for it asks again every few seconds.
func (l *leaderLoop) reads(led *Leader, bot string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reading[bot] == led {
		return false
	}
	l.reading[bot] = led
	return true
}

// hasRead takes back what reads has noted.
func (l *leaderLoop) hasRead(led *Leader, bot string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reading[bot] == led {
		delete(l.reading, bot)
	}
}

// readBudget asks Discord for the session start limit and proposes it, and
// the layout where there is none.
func (l *leaderLoop) readBudget(led *Leader, term uint64, bot string) {
	b := l.m.bots[bot]
	if b == nil || !l.reads(led, bot) {
		return
	}
	defer l.hasRead(led, bot)
	ctx, cancel := context.WithTimeout(l.m.ctx, 15*time.Second)
	defer cancel()
	info, err := l.m.gatewayInfo(ctx, b)
	if err != nil {
		l.notRead(bot, err)
		return
	}
	var generation uint64
	var layout uint32
	var shards string
	l.m.o.Machine.View(func(_ uint64, s *fsm.State) {
		generation = s.Generation
		if bs := s.Bot(bot); bs != nil {
			layout, shards = bs.Layout, bs.Config.Shards
		}
	})
	if layout == 0 && shards != "manual" {
		cmd, err := layoutOf(bot, shards, info.Shards)
		if err != nil {
			l.m.log.Error("the bot's shard setting is wrong", zap.String("bot", bot), zap.String("code", "bad_shards"), zap.Error(err))
			return
		}
		l.m.leadSubmit(term, fsm.Encode(generation, cmd), func(fsm.Result, error) {})
	}
	budget := fsm.IdentifyBudget{Remaining: info.Remaining, Limit: info.Limit, MaxConcurrency: info.MaxConcurrency}
	l.m.leadSubmit(term, fsm.Encode(generation, &fsm.Budget{Bot: bot, Budget: budget}), func(r fsm.Result, err error) {
		if err != nil || r.Code != fsm.OK {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.leader == led {
			led.BudgetRead(bot)
		}
		l.poke()
	})
}

// layoutOf reads a bot's shard setting: auto, a number, or LO-HI/N.
func layoutOf(bot, setting string, recommended int) (*fsm.Layout, error) {
	set, err := fsm.ParseShards(setting)
	if err == nil && set.Total == 0 {
		set, err = fsm.ParseShards(strconv.Itoa(recommended))
	}
	if err != nil {
		return nil, err
	}
	return &fsm.Layout{Bot: bot, Total: set.Total, From: set.From, To: set.To}, nil
}

// ErrAnswered is wrapped by an error of BotOptions.Info if Discord has answered,
// and not with what was asked for.
var ErrAnswered = errors.New("discord has answered")

// ownInfo is how long a node tries to reach Discord by itself.
const ownInfo = 5 * time.Second

// infoApart is how long a leader waits for one node's answer before it asks the
// next one, too.
const infoApart = time.Second

// gatewayInfo asks Discord for a bot's gateway, by way of another node where
// this one doesn't reach it: a leader that is cut off Discord would give no
// permits, though all the others could use them. What Discord refuses it
// refuses to all.
func (m *Manager) gatewayInfo(ctx context.Context, b *BotOptions) (GatewayInfo, error) {
	own, cancel := context.WithTimeout(ctx, ownInfo)
	info, err := b.Info(own)
	cancel()
	if err == nil || errors.Is(err, ErrAnswered) {
		return info, err
	}
	var up []string
	m.o.Machine.View(func(_ uint64, s *fsm.State) {
		for _, id := range s.Nodes() {
			if n, _ := s.Node(id); n.Up && id != m.o.Self.ID {
				up = append(up, id)
			}
		}
	})
	if info := m.infoByWayOf(ctx, up, b.Name); info.names() {
		return info, nil
	}
	return GatewayInfo{}, err
}

// names reports whether the answer names a gateway and a number of shards.
func (i GatewayInfo) names() bool { return i.URL != "" && i.Shards > 0 }

// infoByWayOf asks nodes one after the other, and the next one before the last
// has answered if that takes a while: several may be cut off. It returns the first
// good answer, or none.
func (m *Manager) infoByWayOf(ctx context.Context, ids []string, bot string) GatewayInfo {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan GatewayInfo, len(ids))
	next := time.NewTimer(0)
	defer next.Stop()
	for asked, answered := 0, 0; answered < len(ids); {
		select {
		case <-ctx.Done():
			return GatewayInfo{}
		case info := <-answers:
			if info.names() {
				return info
			}
			answered++
			next.Reset(0)
		case <-next.C:
			if asked == len(ids) {
				continue
			}
			id := ids[asked]
			asked++
			m.wg.Go(func() { answers <- m.infoOf(ctx, id, bot) })
			next.Reset(infoApart)
		}
	}
	return GatewayInfo{}
}

// infoOf has another node read a bot's gateway information. What it returns
// names no gateway if that came to nothing.
func (m *Manager) infoOf(ctx context.Context, id, bot string) (info GatewayInfo) {
	answer, err := m.send(ctx, id, message{Kind: msgInfo, Bot: bot})
	if err == nil {
		err = json.Unmarshal(answer, &info)
	}
	if err == nil && !info.names() {
		err = errors.New("it names no gateway")
	}
	if err != nil {
		m.log.Debug("gateway information not read by way of another node", zap.String("node", id), zap.Error(err))
		return GatewayInfo{}
	}
	return info
}

// infoFor answers a leader that doesn't reach Discord by itself.
func (m *Manager) infoFor(ctx context.Context, bot string) ([]byte, error) {
	b := m.bots[bot]
	if b == nil {
		return nil, fmt.Errorf("no bot %q is in this node's program", bot)
	}
	ctx, cancel := context.WithTimeout(ctx, ownInfo)
	defer cancel()
	info, err := b.Info(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(info)
}
