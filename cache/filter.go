package cache

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/botnode/botnode/internal/jsonscan"
)

// Bounds of a filter. It is evaluated inside Apply for every object of its kind.
const (
	maxFilter = 512 // bytes of its text
	maxTerms  = 16
)

// ErrFilter is returned for a text that is no filter.
var ErrFilter = errors.New("cache: not a filter")

// Filter says by its fields whether an object is kept. It is a text, such as
//
//	user.bot == false and guild_id in [81384788765712384, 41771983423143937]
//
// without code, loops or nesting, so that its evaluation is total and takes a
// time that is known; docs/design/cache.md has the grammar.
type Filter struct {
	text string
	any  [][]term // one of the lists must hold as a whole
}

// term compares a field with values.
type term struct {
	path   []string
	op     string
	values []value
}

// value is a literal of a filter.
type value struct {
	text   string // of a string
	number int64
	yes    bool
	kind   valueKind
}

type valueKind uint8

const (
	nullValue valueKind = iota
	boolValue
	numberValue
	stringValue
)

// String returns the filter's text.
func (f *Filter) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

// ParseFilter reads a filter. An empty text is none: nil.
func ParseFilter(text string) (*Filter, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil //nolint:nilnil // no filter keeps everything
	}
	if len(text) > maxFilter {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrFilter, maxFilter)
	}
	words, err := filterWords(text)
	if err != nil {
		return nil, err
	}
	p := &filterParser{words: words}
	f := &Filter{text: text, any: [][]term{nil}}
	for n := 0; ; n++ {
		if n == maxTerms {
			return nil, fmt.Errorf("%w: it has more than %d comparisons", ErrFilter, maxTerms)
		}
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		last := len(f.any) - 1
		f.any[last] = append(f.any[last], t)
		switch w := p.take(); w {
		case "":
			return f, nil
		case "and":
		case "or":
			f.any = append(f.any, nil)
		default:
			return nil, fmt.Errorf("%w: %q stands where and, or, or its end is wanted", ErrFilter, w)
		}
	}
}

// filterWords cuts a filter into words: names, numbers, operators, brackets and
// strings, the last with their quotation marks.
func filterWords(text string) ([]string, error) {
	var words []string
	for i := 0; i < len(text); {
		n := 1
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case strings.HasPrefix(text[i:], "==") || strings.HasPrefix(text[i:], "!=") ||
			strings.HasPrefix(text[i:], "<=") || strings.HasPrefix(text[i:], ">="):
			n = 2
		case strings.IndexByte("<>[],", c) >= 0:
		case c == '"':
			q, err := strconv.QuotedPrefix(text[i:])
			if err != nil {
				return nil, fmt.Errorf("%w: a string has no end", ErrFilter)
			}
			n = len(q)
		case wordByte(c):
			for i+n < len(text) && wordByte(text[i+n]) {
				n++
			}
		default:
			return nil, fmt.Errorf("%w: %q can't be in one", ErrFilter, c)
		}
		words = append(words, text[i:i+n])
		i += n
	}
	return words, nil
}

func wordByte(c byte) bool {
	return c == '_' || c == '.' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// filterParser reads the words of a filter.
type filterParser struct{ words []string }

// take returns the next word, "" at the end.
func (p *filterParser) take() string {
	if len(p.words) == 0 {
		return ""
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

func (p *filterParser) term() (t term, err error) {
	name := p.take()
	t.path = strings.Split(name, ".")
	if name == "" || !wordByte(name[0]) || slices.Contains(t.path, "") || slices.Contains([]string{"and", "or", "not", "in"}, name) {
		return t, fmt.Errorf("%w: %q stands where a field's name is wanted", ErrFilter, name)
	}
	switch t.op = p.take(); t.op {
	case "==", "!=", "<", "<=", ">", ">=", "contains":
		v, err := p.value()
		t.values = []value{v}
		return t, err
	case "not":
		if next := p.take(); next != "in" {
			return t, fmt.Errorf("%w: %q stands where in is wanted", ErrFilter, next)
		}
		t.op = "not in"
	case "in":
	default:
		return t, fmt.Errorf("%w: %q is none of ==, !=, <, <=, >, >=, in, not in, contains", ErrFilter, t.op)
	}
	t.values, err = p.list()
	return t, err
}

func (p *filterParser) list() (values []value, err error) {
	if w := p.take(); w != "[" {
		return nil, fmt.Errorf("%w: %q stands where a list in brackets is wanted", ErrFilter, w)
	}
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		switch w := p.take(); w {
		case "]":
			return values, nil
		case ",":
		default:
			return nil, fmt.Errorf("%w: %q stands where , or ] is wanted", ErrFilter, w)
		}
	}
}

func (p *filterParser) value() (value, error) {
	w := p.take()
	switch {
	case w == "null":
		return value{}, nil
	case w == "true" || w == "false":
		return value{kind: boolValue, yes: w == "true"}, nil
	case len(w) > 1 && w[0] == '"':
		text, err := strconv.Unquote(w)
		if err != nil {
			return value{}, fmt.Errorf("%w: the string %s can't be read", ErrFilter, w)
		}
		return value{kind: stringValue, text: text}, nil
	}
	n, err := strconv.ParseInt(w, 10, 64)
	if err != nil {
		return value{}, fmt.Errorf("%w: %q is none of true, false, null, a whole number and a \"string\"", ErrFilter, w)
	}
	return value{kind: numberValue, number: n}, nil
}

// match reports whether what get finds under the paths satisfies the filter.
func (f *Filter) match(get func(path []string) []byte) bool {
	for _, all := range f.any {
		if !slices.ContainsFunc(all, func(t term) bool { return !t.holds(get(t.path)) }) {
			return true
		}
	}
	return false
}

// holds compares a field with the term's values; nil is one that is absent.
func (t *term) holds(field []byte) bool {
	switch t.op {
	case "==", "in":
		return slices.ContainsFunc(t.values, func(v value) bool { return v.equals(field) })
	case "!=", "not in":
		return !slices.ContainsFunc(t.values, func(v value) bool { return v.equals(field) })
	case "contains":
		found := false
		_ = jsonscan.Elements(field, func(val []byte) bool { // what isn't a list contains nothing
			found = found || t.values[0].equals(val)
			return !found
		})
		return found
	}
	n, ok := whole(field)
	if !ok || t.values[0].kind != numberValue {
		return false
	}
	switch than := t.values[0].number; t.op {
	case "<":
		return n < than
	case "<=":
		return n <= than
	case ">":
		return n > than
	}
	return n >= t.values[0].number
}

// equals compares a literal with a field. Discord leaves out what is false, so
// an absent field and null are false, too.
func (v value) equals(field []byte) bool {
	absent := field == nil || jsonscan.IsNull(field)
	switch v.kind {
	case nullValue:
		return absent
	case boolValue:
		yes, ok := jsonscan.Bool(field)
		return yes == v.yes && (ok || absent)
	case numberValue:
		n, ok := whole(field)
		return ok && n == v.number
	}
	return len(field) > 1 && field[0] == '"' && jsonscan.String(field) == v.text
}

// whole returns the number in a field, or the snowflake, which is a string.
func whole(field []byte) (int64, bool) {
	if n, ok := jsonscan.Int(field); ok {
		return n, true
	}
	id := jsonscan.ID(field)
	return int64(id), id != 0 && id <= math.MaxInt64
}

// admits reports whether the policy of a kind keeps an object.
func (c *Cache) admits(t *table, k key, obj []byte) bool {
	f := t.policy.Filter
	return f == nil || f.match(func(path []string) []byte { return c.lookup(t.kind, k, obj, path) })
}

// lookup finds a field for a filter: in the object, or in what the cache holds
// apart from it, its guild and, for a member, its user.
func (c *Cache) lookup(kind Kind, k key, obj []byte, path []string) []byte {
	switch {
	case path[0] == "guild_id" && len(path) == 1 && kind != Users && kind != Messages:
		return strconv.AppendUint(nil, k.a, 10)
	case path[0] == "user" && kind == Members && len(path) > 1:
		if val := dig(c.seen, path[1:]); val != nil {
			return val
		}
		r, _ := c.tables[Users].recs.get(key{k.b, 0})
		return dig(raw(r.raw), path[1:])
	}
	return dig(obj, path)
}

// dig follows a path into an object.
func dig(obj []byte, path []string) []byte {
	for _, name := range path {
		obj = jsonscan.Get(obj, name)
	}
	return obj
}
