package sim

import (
	"encoding/base64"
	"strconv"
	"sync/atomic"
	"time"
)

// ID is a snowflake. Its JSON is a string, as Discord's is.
type ID uint64

// String returns the decimal form.
func (i ID) String() string { return strconv.FormatUint(uint64(i), 10) }

// MarshalText returns the decimal form, so that ids are strings and map keys in JSON.
func (i ID) MarshalText() ([]byte, error) { return strconv.AppendUint(nil, uint64(i), 10), nil }

// UnmarshalText reads the decimal form.
func (i *ID) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 10, 64)
	*i = ID(n)
	return err
}

// ParseID reads a decimal snowflake; what is none is 0.
func ParseID(s string) ID {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return ID(n)
}

// epochMS is the first millisecond of 2015, where Discord's snowflakes start
// (reference.mdx, "Snowflakes").
const epochMS = 1_420_070_400_000

// The fixed inhabitants of the world. Guild i has the millisecond guildMS+i, so
// that (id >> 22) % n deals guilds to shards in turn whatever n is.
const (
	guildMS = 100_000_000_000
	userMS  = 50_000_000_000
	// userStep spreads user ids; a prime, so that no modulus of them is even.
	userStep = 4099

	// BotID is the id of the bot's user, and of its application.
	BotID ID = 40_000_000_000<<22 | 7
	// OwnerID is the id of the application's owner.
	OwnerID ID = 40_000_000_000<<22 | 9
)

func guildID(index int) ID { return ID(guildMS+int64(index))<<22 | 1 }

// idGen makes rising ids that carry the time, as snowflakes do.
type idGen struct{ last atomic.Uint64 }

func (g *idGen) next() ID {
	now := uint64(time.Now().UnixMilli()-epochMS) << 22
	for {
		old := g.last.Load()
		id := max(now, old+1)
		if g.last.CompareAndSwap(old, id) {
			return ID(id)
		}
	}
}

// defaultToken has the shape of a real one: its first part is the application
// id in base64, which some libraries decode to learn who they are.
func defaultToken() string {
	return base64.RawStdEncoding.EncodeToString([]byte(BotID.String())) + ".sim.not-a-secret-" +
		strconv.Itoa(len("simulated"))
}
