package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/fsm"
)

// cacheKeys are the keys of a kind's policy. max is short for max_count.
var cacheKeys = []string{"mode", "max", "max_count", "max_bytes", "filter"}

// decodeCaches reads the policies of the kinds, each on, off, or
// {max: 100000, filter: "..."}.
func decodeCaches(c *fsm.Config, yml []byte) error {
	b, err := yaml.YAMLToJSON(yml)
	if err != nil {
		return err
	}
	var kinds map[string]json.RawMessage
	if err := json.Unmarshal(b, &kinds); err != nil {
		return errors.New("kinds with their policies are wanted, as in members: {max: 100000}")
	}
	c.Caches = make(map[string]fsm.CachePolicy, len(kinds))
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if _, err := cache.ParseKind(name); err != nil {
			return unknownWord("kind", name, kindNames())
		}
		if c.Caches[name], err = decodePolicy(kinds[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	_, err = c.Policies()
	return err
}

func kindNames() (names []string) {
	for _, k := range cache.Kinds() {
		names = append(names, k.String())
	}
	return names
}

// unknownWord is the error of a word that is none of the known ones.
func unknownWord(what, word string, known []string) error {
	if near := nearest(word, known); near != "" {
		return fmt.Errorf("unknown %s %q: did you mean %q?", what, word, near)
	}
	return fmt.Errorf("unknown %s %q: there are %s", what, word, strings.Join(known, ", "))
}

// decodePolicy reads one kind's policy.
func decodePolicy(raw json.RawMessage) (p fsm.CachePolicy, err error) {
	switch word := strings.Trim(string(raw), `"`); word {
	case "on", "true":
		return fsm.CachePolicy{Mode: "on"}, nil
	case "off", "false":
		return fsm.CachePolicy{Mode: "off"}, nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return p, errors.New("on, off, or keys with values are wanted")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		val := fields[name]
		switch name {
		case "mode":
			p.Mode = map[string]string{"true": "on", "false": "off"}[string(val)]
			if p.Mode == "" && json.Unmarshal(val, &p.Mode) != nil {
				err = errors.New("a word is wanted")
			}
		case "max", "max_count":
			if p.MaxCount != 0 {
				err = errors.New("max is short for max_count: one of them is enough")
			} else if json.Unmarshal(val, &p.MaxCount) != nil {
				err = errors.New("a number of objects is wanted")
			}
		case "max_bytes":
			p.MaxBytes, err = parseBytes(val)
		case "filter":
			if json.Unmarshal(val, &p.Filter) != nil {
				err = errors.New(`a text is wanted, as in "user.bot == false"`)
			}
		default:
			return p, unknownWord("key", name, cacheKeys)
		}
		if err != nil {
			return p, fmt.Errorf("%s: %w", name, err)
		}
	}
	if p.Mode == "" {
		p.Mode = "on"
		if p.MaxCount > 0 || p.MaxBytes > 0 {
			p.Mode = "bounded"
		}
	}
	return p, nil
}

var sizeText = regexp.MustCompile(`^([0-9]{1,12}) ?(B|KiB|MiB|GiB)$`)

// parseBytes reads a number of bytes, or one with a unit: 64MiB.
func parseBytes(raw json.RawMessage) (n int64, err error) {
	if json.Unmarshal(raw, &n) == nil {
		return n, nil
	}
	var text string
	_ = json.Unmarshal(raw, &text) // what isn't a text doesn't match
	m := sizeText.FindStringSubmatch(text)
	if m == nil {
		return 0, errors.New("a number of bytes is wanted, as in 1000000 or 64MiB")
	}
	n, err = strconv.ParseInt(m[1], 10, 64)
	return n << map[string]int{"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[m[2]], err
}

// policyLine writes a policy as decodePolicy reads it: JSON is YAML.
func policyLine(p fsm.CachePolicy) string {
	if p == (fsm.CachePolicy{Mode: p.Mode}) && p.Mode != "bounded" {
		return yamlText(p.Mode)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(p) // plain fields
	return strings.TrimSpace(b.String())
}
