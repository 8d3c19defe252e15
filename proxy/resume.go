package proxy

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// resumeData is the d of an op 6 (events/gateway-events.mdx, "Resume").
type resumeData struct {
	Token string `json:"token"`
	SID   string `json:"session_id"`
	Seq   *int64 `json:"seq"`
}

// resume answers op 6.
func (c *conn) resume(d []byte) {
	var p resumeData
	if json.Unmarshal(d, &p) != nil {
		c.end(closing(discord.CloseDecodeError, "the d of RESUME doesn't have the shape that it must have"))
		return
	}
	c.phase = opening
	c.s.door.busy(c.seat, true)
	c.beside(func(ctx context.Context) func() {
		client, refusal := c.authenticate(ctx, p.Token)
		if refusal != nil {
			return c.refused(refusal)
		}
		if p.Seq == nil {
			return c.refused(invalid()) // it has had nothing yet
		}
		sess, refusal := c.attach(ctx, client, &p)
		if refusal != nil {
			return c.refused(refusal)
		}
		return func() { c.start(sess, nil, live) }
	})
}

// attachTries bounds how often an attachment meets another connection's.
const attachTries = 5

// attach has the cluster give a session to this connection. That this node has
// applied it means that it has everything that the client was sent elsewhere.
func (c *conn) attach(ctx context.Context, client Client, p *resumeData) (*session, *ending) {
	cmd := &fsm.AttachClient{
		Bot: client.Bot, SID: p.SID, Conn: rand.Uint64(), Node: c.s.o.Backend.Self(),
		Until: time.Now().Add(sessionLife).UnixMilli(),
	}
	for range attachTries {
		strange := false
		res, err := c.s.o.Backend.ProposeState(ctx, func(st *fsm.State) fsm.Command {
			// 0 if this node doesn't know the session (yet): no session has had
			// no connection, so that the command only finds out.
			cmd.Attach = 0
			if b := st.Bot(client.Bot); b != nil {
				if cs, ok := b.ClientSession(p.SID); ok {
					cmd.Attach, strange = cs.Attach, cs.Key != client.Name
				}
			}
			if strange {
				cmd.Attach = 0
			}
			return cmd
		})
		switch {
		case err == nil && (res.Code == fsm.Old || strange):
			return nil, invalid()
		case err == nil && res.Code == fsm.Conflict:
			continue
		}
		if e := c.refusal(ctx, res, err); e != nil {
			return nil, e
		}
		return c.resumed(client, p, res.Version)
	}
	return nil, elsewhere("the session is being resumed on other connections; connect again")
}

// resumed returns an attached session from where its client goes on.
func (c *conn) resumed(client Client, p *resumeData, attach uint64) (sess *session, refusal *ending) {
	refusal = invalid()
	c.s.o.Backend.ViewState(func(st *fsm.State) {
		b := st.Bot(client.Bot)
		if b == nil {
			return
		}
		cs, ok := b.ClientSession(p.SID)
		if !ok {
			return
		}
		next, place := b.ResumeClient(&cs, *p.Seq)
		switch place {
		case fsm.ResumeBadSeq:
			refusal = closing(discord.CloseInvalidSeq, "the session has no event of that number")
			return
		case fsm.ResumeLost:
			return
		case fsm.ResumeGoesOn:
		}
		refusal = nil
		sess = &session{
			follower: follower{sid: p.SID, attach: attach}, client: client,
			filter: filter{shard: int(cs.Shard), shards: int(cs.Shards), intents: discord.Intents(cs.Intents)},
			next:   next, replay: true, upTo: b.LastPos, lastS: *p.Seq,
		}
		sess.take(&cs, b, st.Generation)
	})
	return sess, refusal
}
