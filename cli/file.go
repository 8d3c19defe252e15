package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// file is a configuration file: this node's keys, and the bots.
type file struct {
	path string
	keys map[string]entry
	bots map[string]map[string]entry
	app  *entry // the author's own settings for all bots, nil if there are none
}

// entry is a value of the file and where it stands.
type entry struct {
	node ast.Node
	line int
}

// readFile reads a configuration file and refuses keys that it doesn't know.
func readFile(path string) (*file, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &usageError{err}
	}
	return parseFile(path, b)
}

func parseFile(path string, b []byte) (*file, error) {
	f := &file{path: path, bots: map[string]map[string]entry{}}
	doc, err := parser.ParseBytes(b, 0)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	if len(doc.Docs) > 1 {
		return nil, usagef("%s: one YAML document is wanted, not %d", path, len(doc.Docs))
	}
	if len(doc.Docs) == 0 || doc.Docs[0].Body == nil {
		return f, nil
	}
	known := []string{"bots", appKey}
	for _, d := range flags(scopeStart) {
		if !d.noFile {
			known = append(known, d.key())
		}
	}
	if f.keys, err = f.mapping(doc.Docs[0].Body, known, ""); err != nil {
		return nil, err
	}
	if app, ok := f.keys[appKey]; ok {
		f.app = &app
		delete(f.keys, appKey)
	}
	if _, err := f.settings(""); err != nil {
		return nil, err
	}
	bots, ok := f.keys["bots"]
	delete(f.keys, "bots")
	if !ok {
		return f, nil
	}
	names, err := f.mapping(bots.node, nil, "bots: ")
	if err != nil {
		return nil, err
	}
	for name, section := range names {
		if f.bots[name], err = f.mapping(section.node, botKeys(), "bots: "+name+": "); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// mapping returns the entries of a mapping. known lists the keys that it may
// have, nil for any.
func (f *file) mapping(n ast.Node, known []string, where string) (map[string]entry, error) {
	values, err := f.pairs(n, where)
	if err != nil {
		return nil, err
	}
	out := make(map[string]entry)
	for _, v := range values {
		key, line := v.Key.String(), v.Key.GetToken().Position.Line
		if t := v.Key.GetToken(); t != nil {
			key = t.Value
		}
		if known != nil && !slices.Contains(known, key) {
			return nil, f.unknown(line, where, key, known)
		}
		if _, twice := out[key]; twice {
			return nil, usagef("%s:%d: %s%s is there twice", f.path, line, where, key)
		}
		out[key] = entry{node: v.Value, line: line}
	}
	return out, nil
}

func (f *file) pairs(n ast.Node, where string) ([]*ast.MappingValueNode, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	case *ast.NullNode:
		return nil, nil
	}
	line := 1
	if t := n.GetToken(); t != nil {
		line = t.Position.Line
	}
	return nil, usagef("%s:%d: %skeys with values are wanted", f.path, line, where)
}

func (f *file) unknown(line int, where, key string, known []string) error {
	msg := fmt.Sprintf("%s:%d: %sunknown key %q", f.path, line, where, key)
	if near := nearest(key, known); near != "" {
		msg += fmt.Sprintf(": did you mean %q?", near)
	} else {
		sorted := slices.Clone(known)
		slices.Sort(sorted)
		msg += ": the keys are " + strings.Join(sorted, ", ")
	}
	return &usageError{errors.New(msg)}
}

// words returns a scalar's text, or a sequence's texts joined by commas.
func (f *file) words(e entry) (string, error) {
	switch n := e.node.(type) {
	case *ast.SequenceNode:
		var out []string
		for _, v := range n.Values {
			word, err := f.words(entry{node: v, line: e.line})
			if err != nil {
				return "", err
			}
			out = append(out, word)
		}
		return strings.Join(out, ","), nil
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value), nil
	case *ast.NullNode:
		return "", nil
	case ast.ScalarNode:
		return n.GetToken().Value, nil
	}
	return "", usagef("%s:%d: a plain value is wanted", f.path, e.line)
}

// settings returns the author's own settings for a bot: the file's app: section
// with the keys of the bot's own over it.
func (f *file) settings(bot string) (map[string]any, error) {
	out := map[string]any{}
	own, ok := f.bots[bot][appKey]
	for _, e := range []*entry{f.app, &own} {
		if e == nil || e == &own && !ok {
			continue
		}
		if pairs, err := f.pairs(e.node, appKey+": "); err != nil || len(pairs) == 0 {
			if err != nil {
				return nil, err
			}
			continue
		}
		var section map[string]any
		if err := yaml.NodeToValue(e.node, &section); err != nil {
			return nil, usagef("%s:%d: %s: %w", f.path, e.line, appKey, err)
		}
		maps.Copy(out, section)
	}
	return out, nil
}

// botNames returns the names of the file's bots, sorted.
func (f *file) botNames() []string { return slices.Sorted(maps.Keys(f.bots)) }

// nearest returns the known word that a mistyped one may stand for, or "".
func nearest(word string, known []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := distance(fold(word), fold(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// fold takes off what people mistake without meaning anything by it.
func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

// distance is the number of letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
