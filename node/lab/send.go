package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
)

// Emit sends an event of any type to the shard of the guild that its guild_id
// names, or to shard 0. It returns how many sessions took it.
func (l *Lab) Emit(event string, data any) (int, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return 0, err
	}
	return l.discord.Dispatch(guildOf(event, raw), event, json.RawMessage(raw))
}

// guildOf reads which guild an event is of.
func guildOf(event string, raw []byte) sim.ID {
	var d struct {
		ID    sim.ID `json:"id"`
		Guild sim.ID `json:"guild_id"`
	}
	_ = json.Unmarshal(raw, &d) // what doesn't fit stays 0
	switch event {
	case discord.EventGuildCreate, discord.EventGuildUpdate, discord.EventGuildDelete:
		return d.ID
	}
	return d.Guild
}

// The types of a command's options
// (interactions/application-commands.mdx, "Application Command Option Type").
const (
	optionSub     = 1
	optionGroup   = 2
	optionString  = 3
	optionInteger = 4
	optionBool    = 5
	optionUser    = 6
	optionNumber  = 10
)

// CommandOptions writes the options of a command as Discord does, in the order of
// their names: strings, bools, integers and floats, a discord.Snowflake for a
// user, and a map of options for a subcommand.
func CommandOptions(options map[string]any) ([]map[string]any, error) {
	var out []map[string]any
	for _, name := range slices.Sorted(maps.Keys(options)) {
		o := map[string]any{"name": name}
		switch v := options[name].(type) {
		case string:
			o["type"], o["value"] = optionString, v
		case bool:
			o["type"], o["value"] = optionBool, v
		case int, int64, int32, uint32:
			o["type"], o["value"] = optionInteger, v
		case float64, float32:
			o["type"], o["value"] = optionNumber, v
		case discord.Snowflake:
			o["type"], o["value"] = optionUser, v.String()
		case map[string]any:
			inner, err := CommandOptions(v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			o["type"], o["options"] = subcommand(inner), inner
		default:
			return nil, fmt.Errorf("option %s: a %T can't be an option", name, v)
		}
		out = append(out, o)
	}
	return out, nil
}

// subcommand tells a group of subcommands from a subcommand.
func subcommand(options []map[string]any) int {
	for _, o := range options {
		if o["type"] == optionSub {
			return optionGroup
		}
	}
	return optionSub
}
