package botnodetest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/botnode/botnode/discord"
)

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

// commandOptions writes options as Discord does, in the order of their names.
func commandOptions(options map[string]any) ([]map[string]any, error) {
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
			inner, err := commandOptions(v)
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
