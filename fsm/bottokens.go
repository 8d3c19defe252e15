package fsm

import "maps"

// BotToken is a bot's Discord token, sealed: what opens it is on the nodes' own
// disks.
type BotToken struct {
	// Rev counts the tokens that the bot had, and what became of them.
	Rev   uint64
	Epoch uint64 // of the cluster's secret that it is sealed under
	Box   []byte // empty once the token was dropped
}

// The limits of sealed bot tokens.
const (
	MaxTokenBox = 4096 // bytes
	// MaxBotName bounds the names of bots that have a sealed token.
	MaxBotName = 256
	maxTokens  = 1000
)

// BotToken returns a bot's sealed token. The bot itself need not be known yet: it
// may wait for its token. The box is never changed in place.
func (s *State) BotToken(bot string) BotToken { return s.botTokens.byBot[bot] }

// BotTokens returns the names of the bots that have, or had, a sealed token, sorted.
func (s *State) BotTokens() []string { return sortedNames(s.botTokens.byBot) }

// botTokens are the sealed tokens by bot. One that was dropped leaves its revision
// behind, so that a late repeat doesn't bring it back.
type botTokens struct {
	byBot map[string]BotToken
}

func (t *botTokens) encode(w *writer) {
	w.uint(uint64(len(t.byBot)))
	for _, bot := range sortedNames(t.byBot) {
		k := t.byBot[bot]
		w.string(bot)
		w.uint(k.Rev)
		w.uint(k.Epoch)
		w.bytes(k.Box)
	}
}

func (t *botTokens) decode(r *reader) {
	for range r.count(4) {
		bot := r.string()
		k := BotToken{Rev: r.uint(), Epoch: r.uint()}
		k.Box = append([]byte(nil), r.bytes()...)
		t.byBot[bot] = k
	}
}

func (t *botTokens) clone() botTokens { return botTokens{maps.Clone(t.byBot)} }

// SetBotToken replaces a bot's sealed token: by another token, by the same one
// sealed anew, or, with an empty box, by none.
//
// Guard: the revision is that of the bot's token, and the epoch is one whose secret
// every member holds or is about to.
type SetBotToken struct {
	Bot   string
	Rev   uint64
	Epoch uint64
	Box   []byte
}

// Kind implements Command.
func (*SetBotToken) Kind() Kind { return KindSetBotToken }

func (c *SetBotToken) encode(w *writer) {
	w.string(c.Bot)
	w.uint(c.Rev)
	w.uint(c.Epoch)
	w.bytes(c.Box)
}

func (c *SetBotToken) decode(r *reader) {
	c.Bot, c.Rev, c.Epoch, c.Box = r.string(), r.uint(), r.uint(), r.bytes()
}

func (c *SetBotToken) apply(s *State) Result {
	had, known := s.botTokens.byBot[c.Bot]
	switch {
	case s.trust.Epoch == 0:
		return noTrust
	case c.Bot == "" || len(c.Bot) > MaxBotName:
		return refused("a bot's name has 1 to 256 bytes")
	case len(c.Box) > MaxTokenBox:
		return refused("a token is too large")
	case had.Rev == c.Rev+1 && had.Epoch == c.Epoch && string(had.Box) == string(c.Box):
		return Result{Code: Old, Version: had.Rev}
	case had.Rev != c.Rev:
		return Result{Code: Conflict, Version: had.Rev, Msg: "the bot's token was changed meanwhile; try again"}
	case len(c.Box) > 0 && c.Epoch != s.trust.Epoch:
		return Result{Code: Conflict, Version: had.Rev, Msg: "the cluster's keys were replaced meanwhile; try again"}
	case !known && len(s.botTokens.byBot) >= maxTokens:
		return refused("there are 1000 bots with a sealed token")
	}
	s.botTokens.byBot[c.Bot] = BotToken{Rev: c.Rev + 1, Epoch: c.Epoch, Box: append([]byte(nil), c.Box...)}
	return Result{Version: c.Rev + 1}
}
