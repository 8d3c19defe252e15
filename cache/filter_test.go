package cache

import (
	"errors"
	"strings"
	"testing"
)

func TestFilter(t *testing.T) {
	const obj = `{"id":"123","bot":true,"name":"a\"b","n":-5,"big":9007199254740993,"null":null,"list":["7",8,true],"in":{"deep":{"x":1}},"f":1.5}`
	for text, want := range map[string]bool{
		`bot == true`: true, `bot != true`: false, `bot == false`: false, `none == false`: true, `none == true`: false,
		`null == false`: true, `none == null`: true, `null == null`: true, `bot == null`: false, `bot != null`: true,
		`name == "a\"b"`: true, `name == "b"`: false, `name != "b"`: true, `n == -5`: true, `n < 0`: true, `n >= -5`: true, `n > -5`: false, `n <= -6`: false,
		`id == 123`: true, `id == "123"`: true, `id > 122`: true, `id in [1, 123]`: true, `id not in [1, 2]`: true, `id not in [123]`: false,
		`big == 9007199254740993`: true, `big == 9007199254740992`: false, `f > 1`: false, `name > 1`: false, `n < "x"`: false,
		`list contains "7"`: true, `list contains 8`: true, `list contains 9`: false, `n contains 8`: false, `list contains true`: true,
		`in.deep.x == 1`: true, `in.deep.y == 1`: false, `name.x == null`: true, `bot == 1`: false, `n == false`: false,
		`bot == false and id == 123 or n < 0`: true, `bot == false or id == 1 and n < 0`: false,
		"bot==true and\n\tid==123": true, `guild_id == 9`: true, `kind-x == null`: true,
	} {
		f, err := ParseFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		p := everything()
		p[Roles].Filter = f
		c := New(p)
		if got := c.admits(&c.tables[Roles], key{9, 123}, []byte(obj)); got != want || f.String() != text {
			t.Errorf("%s is %v", text, got)
		}
	}
	if f, err := ParseFilter(" "); f != nil || err != nil || f.String() != "" {
		t.Errorf("no filter: %v, %v", f, err)
	}
}

func TestNoFilters(t *testing.T) {
	for _, text := range []string{
		`bot`, `bot ==`, `== true`, `bot = true`, `bot == true and`, `bot == true id == 1`, `bot == yes`, `bot in 1`, `bot in [1`, `bot in [1 2]`,
		`bot in []`, `bot not 1`, `bot == "x`, `bot == 1.5`, `bot == 99999999999999999999`, `a..b == 1`, `.a == 1`, `and == 1`, `(bot == true)`, `bot == true;`,
		`bot == true or or id == 1`, `"bot" == true`, strings.Repeat("a", maxFilter) + " == 1", strings.Repeat("a == 1 and ", maxTerms) + "a == 1", `a == "\x"`,
	} {
		if f, err := ParseFilter(text); !errors.Is(err, ErrFilter) || f != nil {
			t.Errorf("%s: %v, %v", text, f, err)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add(`user.bot == false and id in [1, "2"]`, `{"id":"1"}`)
	f.Add(`a contains "x" or b not in [null]`, `{"a":["x"],"b":[[[`)
	f.Fuzz(func(t *testing.T, text, obj string) {
		parsed, err := ParseFilter(text)
		if err != nil || parsed == nil {
			return
		}
		again, err := ParseFilter(parsed.String())
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		p := everything()
		p[Members].Filter = parsed
		c := New(p)
		one := c.admits(&c.tables[Members], key{1, 2}, []byte(obj))
		p[Members].Filter = again
		if New(p).admits(&c.tables[Members], key{1, 2}, []byte(obj)) != one {
			t.Fatalf("%q says two things of %q", text, obj)
		}
	})
}
