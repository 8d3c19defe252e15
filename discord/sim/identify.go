package sim

import (
	"encoding/json"
	"strings"
)

type identifyData struct {
	Token          string  `json:"token"`
	Intents        *int64  `json:"intents"`
	Shard          []int64 `json:"shard"`
	Compress       bool    `json:"compress"`
	LargeThreshold int     `json:"large_threshold"`
	Properties     struct {
		OS      string `json:"os"`
		Browser string `json:"browser"`
		Device  string `json:"device"`
	} `json:"properties"`
}

// identify answers op 2 and returns the code to close with, or 0.
func (c *conn) identify(d json.RawMessage) int {
	var p identifyData
	if json.Unmarshal(d, &p) != nil {
		return 4002
	}
	if c.sess.Load() != nil {
		return 4005
	}
	if len(p.Shard) == 0 {
		p.Shard = []int64{0, 1}
	}
	rec := Identify{Remote: c.remote, Browser: p.Properties.Browser, Shard: [2]int64{p.Shard[0], p.Shard[len(p.Shard)-1]}}
	code := c.checkIdentify(&p)
	if code != 0 {
		rec.Result = closeReason[code]
		c.srv.ledger.identify(rec)
		return code
	}
	var evicted []*conn
	rec.Result, evicted = c.srv.hub.admit(p.Shard[0])
	switch rec.Result {
	case "ok":
		c.start(&p, rec)
		return 0
	case "token_reset":
		c.srv.ledger.identify(rec)
		for _, e := range evicted {
			if e != c {
				e.stop(4004)
			}
		}
		return 4004
	}
	c.srv.ledger.identify(rec)
	c.op(opInvalid, "false")
	return 0
}

// checkIdentify is what can be wrong with an IDENTIFY by itself.
func (c *conn) checkIdentify(p *identifyData) int {
	o := &c.srv.opts
	switch {
	case !c.srv.hub.authentic(strings.TrimPrefix(p.Token, "Bot ")):
		return 4004
	case len(p.Shard) != 2, p.Shard[1] < 1, p.Shard[0] < 0, p.Shard[0] >= p.Shard[1],
		o.ShardMultiple > 1 && p.Shard[1]%int64(o.ShardMultiple) != 0:
		return 4010
	case p.Intents == nil, *p.Intents&^knownIntents != 0:
		return 4013
	case *p.Intents&o.DisallowedIntents != 0:
		return 4014
	case c.srv.guildsOf(p.Shard[0], p.Shard[1]) > o.MaxGuildsPerShard:
		return 4011
	}
	return 0
}

// start opens a session: READY with unavailable guilds, then their GUILD_CREATEs.
func (c *conn) start(p *identifyData, rec Identify) {
	if p.LargeThreshold < 50 || p.LargeThreshold > 250 {
		p.LargeThreshold = 50
	}
	srv, w := c.srv, c.srv.world
	w.mu.Lock()
	shard := [2]int64{p.Shard[0], p.Shard[1]}
	s := srv.hub.open(c, shard, *p.Intents, p.LargeThreshold, srv.guildsLocked(shard[0], shard[1]))
	s.log = srv.ledger.session(s)
	rec.Session = s.id
	srv.ledger.identify(rec) // before its READY: who has that may look here
	c.mu.Lock()
	c.payload = p.Compress && c.squeeze == nil
	c.mu.Unlock()
	c.sess.Store(s)
	var guilds []ID
	unavailable := []obj{}
	for _, g := range w.guilds {
		if w.byID[g.id] != nil && s.owns(g.id) {
			guilds = append(guilds, g.id)
			unavailable = append(unavailable, obj{"id": g.id, "unavailable": true})
		}
	}
	s.mu.Lock()
	for _, g := range guilds {
		s.pending[g] = true
	}
	s.pushLocked("READY", srv.readyData(s, c.version, unavailable), true)
	s.mu.Unlock()
	w.mu.Unlock()
	srv.wg.Add(1)
	go srv.load(s, guilds)
}

func (s *Server) readyData(sess *session, version int, guilds []obj) raw {
	return encode(obj{
		"v": max(version, 6), "user": s.selfUser(), "guilds": guilds, "session_id": sess.id, "session_type": "normal",
		"resume_gateway_url": s.resumeURL(), "shard": sess.shard, "application": obj{"id": BotID, "flags": 565248},
		"user_settings": obj{}, "private_channels": []any{}, "relationships": []any{}, "presences": []any{},
		"guild_join_requests": []any{}, "geo_ordered_rtc_regions": []string{"rotterdam"}, "_trace": []string{`["sim"]`},
	})
}

// loadAhead is how many events of the initial load are queued at once.
const loadAhead = 64

// load makes the guilds available one by one, as fast as the socket takes them.
func (s *Server) load(sess *session, guilds []ID) {
	defer s.wg.Done()
	for _, id := range guilds {
		if c, _ := sess.current(); c != nil {
			c.waitRoom(loadAhead)
		}
		if s.stopped() {
			return
		}
		s.world.mu.Lock()
		g := s.world.guildOf(id)
		switch {
		case g == nil:
			sess.forget(id)
		case g.unavailable:
			// It stays pending: its return is what makes it available.
			sess.outage(id)
		case sess.intents&intentGuilds == 0:
			sess.forget(id)
		default:
			sess.available(id, g.create(sess.view()), s.opts.GuildCreateUnavailable)
		}
		s.world.mu.Unlock()
	}
}

func (s *session) view() guildView { return guildView{s.intents, s.threshold} }

// outage tells a session that a guild of its READY is not coming for now.
func (s *session) outage(g ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushLocked("GUILD_DELETE", encode(obj{"id": g, "unavailable": true}), true)
}

func (s *session) forget(g ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, g)
}

// resume answers op 6 and returns the code to close with, or 0.
func (c *conn) resume(d json.RawMessage) int {
	var p struct {
		Token     string `json:"token"`
		SessionID string `json:"session_id"`
		Seq       int64  `json:"seq"`
	}
	if json.Unmarshal(d, &p) != nil {
		return 4002
	}
	if c.sess.Load() != nil {
		return 4005
	}
	rec := Resume{Remote: c.remote, Session: p.SessionID, Seq: p.Seq, ViaResumeURL: c.viaURL}
	code := c.tryResume(&rec, strings.TrimPrefix(p.Token, "Bot "))
	c.srv.ledger.resume(rec) // before the refusal: who hears it may look here at once
	if code == sayInvalid {
		c.op(opInvalid, "false")
		return 0
	}
	return code
}

// sayInvalid stands for op 9 among the codes that tryResume returns.
const sayInvalid = -1

// tryResume returns the code to close with, sayInvalid, or 0 for a session that
// goes on.
func (c *conn) tryResume(rec *Resume, token string) int {
	srv, o := c.srv, &c.srv.opts
	if !srv.hub.authentic(token) {
		rec.Result = "bad_token"
		return 4004
	}
	s := srv.hub.find(rec.Session)
	if s == nil {
		rec.Result = "unknown_session"
		if o.ExpiredCode != 0 {
			return o.ExpiredCode
		}
		return sayInvalid
	}
	rec.Shard = s.shard
	if srv.faults.refuseResume() {
		rec.Result = "refused"
		srv.hub.end(s)
		return sayInvalid
	}
	c.sess.Store(s)
	v, old, n := s.resume(c, rec.Seq, o.SilentTruncate, !o.ResumedNotBuffered)
	switch v {
	case resumeBadSeq:
		rec.Result = "bad_seq"
		return 4007
	case resumeLost:
		rec.Result = "buffer_lost"
		c.sess.Store(nil)
		srv.hub.end(s)
		return sayInvalid
	}
	rec.Result, rec.Replayed = "ok", n
	if old != nil {
		rec.Replaced = old.remote
		old.stop(max(o.ReplacedCode, dropTCP))
	}
	return 0
}
