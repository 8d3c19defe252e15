package cache

import (
	"errors"
	"fmt"
)

// Kind is a kind of cached object. The numbers are in snapshots and digests: new
// kinds are added at the end.
type Kind uint8

// The kinds. The comment says what an object's key is, besides its own id.
const (
	Guilds           Kind = iota // without the lists that other kinds hold
	Channels                     // by guild
	Threads                      // active ones, by guild
	Roles                        // by guild
	Emojis                       // by guild
	Stickers                     // by guild
	Members                      // by guild, without their user
	Users                        // those that a cached member refers to
	Presences                    // by guild
	VoiceStates                  // by guild, id of the user
	StageInstances               // by guild
	ScheduledEvents              // by guild
	SoundboardSounds             // by guild
	Messages                     // by channel
	kindCount
)

// kindNames are the names in configuration, paths and statistics.
var kindNames = [kindCount]string{
	"guilds", "channels", "threads", "roles", "emojis", "stickers", "members", "users", "presences",
	"voice_states", "stage_instances", "scheduled_events", "soundboard_sounds", "messages",
}

// ErrKind is returned for a name that no kind has.
var ErrKind = errors.New("cache: unknown kind")

// Kinds returns all kinds in order.
func Kinds() []Kind {
	kinds := make([]Kind, kindCount)
	for i := range kinds {
		kinds[i] = Kind(i)
	}
	return kinds
}

// String returns the kind's name.
func (k Kind) String() string {
	if k >= kindCount {
		return "unknown"
	}
	return kindNames[k]
}

// ParseKind returns the kind of a name.
func ParseKind(name string) (Kind, error) {
	for i, n := range kindNames {
		if n == name {
			return Kind(i), nil
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrKind, name)
}
