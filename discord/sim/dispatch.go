package sim

import (
	"encoding/json"
	"fmt"
)

// Dispatch sends an event of any type to the sessions that would get it: those
// whose shard has the guild, and whose intents cover the type. Events of guild 0
// go to shard 0. data is encoded as JSON; raw JSON passes as it is.
//
// The true state of the guild does not change, and data isn't checked: what
// Discord would really send is up to the caller. It returns how many sessions
// took the event.
func (s *Server) Dispatch(guild ID, kind string, data any) (int, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return 0, fmt.Errorf("sim: the data of %s: %w", kind, err)
	}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	if guild != 0 && s.world.guildOf(guild) == nil {
		return 0, ErrUnknown
	}
	return s.emit(guild, kind, b), nil
}
