package trust

import (
	"fmt"
	"strings"
	"testing"
)

func TestAdminToken(t *testing.T) {
	for _, name := range []string{"ops", "ci.deploy", "a.b.c"} {
		k := NewAdminToken(name)
		back, ok := ParseAdminToken(k.Text())
		if !ok || back != k || !Shown(back.Secret, k.Hash()) || Shown(back.Secret+"x", k.Hash()) {
			t.Errorf("%s: read as %v, %t", name, back, ok)
		}
		if text := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(text, k.Secret) {
			t.Errorf("%s: the secret shows: %s", name, text)
		}
	}
	if one, two := NewAdminToken("a"), NewAdminToken("a"); one == two {
		t.Error("two tokens are equal")
	}
	good := NewAdminToken("ops").Text()
	for _, text := range []string{"", "ops", "bnadmin.", "bnadmin..", "bnadmin.ops", "bnadmin.ops.", good[:len(good)-1], good + ".", "bnjoin" + good, strings.TrimPrefix(good, "bn")} {
		if k, ok := ParseAdminToken(text); ok {
			t.Errorf("%q was taken for %v", text, k)
		}
	}
}
