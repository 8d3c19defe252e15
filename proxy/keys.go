package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// secretBytes is how much chance is in a client key.
const secretBytes = 32

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
}

// client returns whose key an Authorization header or an IDENTIFY shows, with or
// without "Bot " before it; ok is false for a key that nobody has.
func (s *Server) client(shown string) (c Client, ok bool) {
	hash := HashKey(strings.TrimSpace(strings.TrimPrefix(shown, "Bot ")))
	s.o.Backend.ViewState(func(st *fsm.State) {
		for _, name := range st.BotNames() {
			if k, found := st.Bot(name).ClientKeyOf(hash); found {
				c, ok = Client{Bot: name, Name: k.Name, Rights: k.Rights}, true
				return
			}
		}
	})
	return c, ok
}
