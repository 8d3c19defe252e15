package shard

import (
	"crypto/sha256"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/gateway"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/jsonscan"
)

// sink turns one connection's reports into inputs of its runner. It blocks
// while the runner has enough to do: then nothing is read from Discord.
type sink struct {
	r    *runner
	conn uint64
	gone chan struct{} // closed when the runner has dropped the connection

	token [sha256.Size]byte // hash of the one that the connection shows
}

func (s *sink) push(in Input) {
	select {
	case s.r.events <- in:
	case <-s.gone:
	case <-s.r.ctx.Done():
	}
}

func (s *sink) Hello(time.Duration) {
	s.r.met(GatewayConnected)
	s.push(Connected{Conn: s.conn})
}

func (s *sink) InvalidSession(resumable bool) {
	s.r.log.Info("session invalidated by discord", zap.Bool("resumable", resumable))
	s.r.met(GatewayInvalid)
	s.push(Invalidated{Conn: s.conn, Resumable: resumable})
}

func (s *sink) Reconnect() {
	s.r.met(GatewayReconnect)
	s.push(ReconnectAsked{Conn: s.conn})
}

func (s *sink) Latency(d time.Duration) { s.r.latency.Store(int64(d)) }

func (s *sink) Closed(c gateway.Closure) {
	select {
	case <-s.gone: // our own doing
	default:
		s.r.m.o.Metrics.GatewayClosed(s.r.ref.Bot, int(c.Code))
		s.r.log.Info("gateway connection closed", zap.Int("close_code", int(c.Code)),
			zap.String("cause", c.Cause), zap.Stringer("verdict", c.Verdict), zap.NamedError("detail", c.Err))
	}
	if c.Verdict == discord.VerdictFatal && c.Code == discord.CloseAuthenticationFailed && s.token != sha256.Sum256([]byte(s.r.bot.Token())) {
		c.Verdict = discord.VerdictResume // there is another token to try by now
	}
	if c.Verdict == discord.VerdictFatal {
		s.r.fatal(c)
	}
	s.push(Closed{Conn: s.conn, Verdict: c.Verdict})
}

func (s *sink) Dispatch(d gateway.Dispatch) {
	s.r.read.Add(1)
	at := time.Now().UnixMilli()
	if d.Type == discord.EventReady {
		s.push(ReadyRead{
			Conn: s.conn, S: d.Seq, At: at, Raw: d.Data,
			SID: jsonscan.String(jsonscan.Get(d.Data, "session_id")),
			URL: jsonscan.String(jsonscan.Get(d.Data, "resume_gateway_url")),
		})
		return
	}
	e := fsm.Event{S: d.Seq, Type: d.Type, Deep: d.Deep, Raw: d.Data}
	if !d.Deep {
		found := cache.Slice(d.Data)
		e.Slices = found.Slices
		e.Guild, e.Lane = place(d.Type, &found)
	}
	s.push(EventRead{Conn: s.conn, At: at, Event: e})
}

// place returns the guild that an event belongs to, and what orders it: its
// guild, else its channel, else nothing.
func place(event string, d *cache.Sliced) (guild, lane discord.Snowflake) {
	guild = discord.Snowflake(d.Guild)
	if guild == 0 {
		switch event {
		case discord.EventGuildCreate, discord.EventGuildUpdate, discord.EventGuildDelete:
			guild = discord.Snowflake(d.ID)
		}
	}
	if guild != 0 {
		return guild, guild
	}
	return 0, discord.Snowflake(d.Channel)
}
