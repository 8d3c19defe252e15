package botnode

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// settingsPrefix begins the environment variables of a program's own settings.
const settingsPrefix = "APP_"

// Settings has the program's own settings read into v before a node starts: a
// pointer to a struct, whose fields are named by their yaml tags and hold the
// defaults. They come from the section app: of the configuration file, or of the
// bot's own section there, and from the environment, which goes first: a field
// log_channel is set by APP_LOG_CHANNEL. A key of the file that v doesn't have
// is an error, and so is a value that doesn't fit.
//
// These are settings of a process. What all nodes must agree on belongs into
// the [Store].
func (b *Bot) Settings(v any) {
	if t := reflect.TypeOf(v); t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		panic(fmt.Errorf("botnode: settings are read into a pointer to a struct, not into a %T", v))
	}
	b.settings = v
}

// RegisterCommand adds a command to the program's command line.
func (b *Bot) RegisterCommand(c *cobra.Command) { b.commands = append(b.commands, c) }

// readSettings fills b.settings.
func (b *Bot) readSettings(app map[string]any, environ []string) error {
	if b.settings == nil {
		if len(app) > 0 {
			return errors.New("app: this program has no settings of its own")
		}
		return nil
	}
	merged := make(map[string]any, len(app))
	maps.Copy(merged, app)
	known := fieldsOf(reflect.TypeOf(b.settings).Elem())
	for _, pair := range environ {
		name, text, _ := strings.Cut(pair, "=")
		name, ours := strings.CutPrefix(name, settingsPrefix)
		// Others have variables of this prefix as well: APP_ENV is a custom.
		field := strings.ToLower(name)
		if !ours || !known[field] {
			continue
		}
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			value = text // not YAML: it is what it is
		}
		merged[field] = value
	}
	if len(merged) == 0 {
		return nil
	}
	text, err := yaml.Marshal(merged)
	if err != nil {
		return fmt.Errorf("app: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(text, b.settings, yaml.Strict()); err != nil {
		return fmt.Errorf("app: %s", yaml.FormatError(err, false, false))
	}
	return nil
}

// fieldsOf returns the names of a struct's fields, as YAML has them.
func fieldsOf(t reflect.Type) map[string]bool {
	out := make(map[string]bool)
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case name == "":
			out[strings.ToLower(f.Name)] = true
		default:
			out[name] = true
		}
	}
	return out
}

func (b *Bot) settingsFrom(app map[string]any) error { return b.readSettings(app, os.Environ()) }
