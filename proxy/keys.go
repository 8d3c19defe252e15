package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

const (
	// secretBytes is how much chance is in a client key.
	secretBytes = 32
	// maxKey bounds what is taken for a client key at all, in bytes.
	maxKey = 256
)

// NewKey returns a fresh client key for the bot whose user has this id, and what
// the state keeps of it. It has the form of a bot's token, three parts of
// base64url with dots between, since libraries read the bot's id out of the first.
func NewKey(bot discord.Snowflake) (key string, hash [32]byte) {
	var secret [secretBytes]byte
	_, _ = rand.Read(secret[:]) // never fails
	b64 := base64.RawURLEncoding.EncodeToString
	key = b64([]byte(bot.String())) + ".client." + b64(secret[:])
	return key, HashKey(key)
}

// HashKey returns what the state keeps of a client key. The key is a number of
// 256 bits by chance, so a plain hash gives nothing away.
func HashKey(key string) [32]byte { return sha256.Sum256([]byte(key)) }

// Client is whose key was shown.
type Client struct {
	Bot    string
	Name   string // of the key
	Rights fsm.Rights
	hash   [32]byte // of the key: whether it still holds is looked up again
	// vouched: the key was not shown; the request's address had shown it before.
	vouched bool
}

// client returns whose key an Authorization header or an IDENTIFY shows, with or
// without "Bot " or "Bearer " before it; ok is false for a key that nobody has.
func (s *Server) client(shown string) (c Client, ok bool) {
	if len(shown) > maxKey {
		return Client{}, false
	}
	if scheme, key, found := strings.Cut(shown, " "); found && (strings.EqualFold(scheme, "Bot") || strings.EqualFold(scheme, "Bearer")) {
		shown = key
	}
	return s.clientOf(HashKey(strings.TrimSpace(shown)))
}

// clientOf returns whose key has a hash.
func (s *Server) clientOf(hash [32]byte) (c Client, ok bool) {
	s.o.Backend.ViewState(func(st *fsm.State) {
		for _, name := range st.BotNames() {
			if k, found := st.Bot(name).ClientKeyOf(hash); found {
				c, ok = Client{Bot: name, Name: k.Name, Rights: k.Rights, hash: hash}, true
				return
			}
		}
	})
	return c, ok
}
