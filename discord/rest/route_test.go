package rest

import (
	"bufio"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestParseRoute(t *testing.T) {
	const hook = "abcDEF-ghi"
	tests := []struct {
		method, path, template, major string
		interaction, webhook          bool
	}{
		{method: "GET", path: "/api/v10/channels/123/messages", template: "/channels/{id}/messages", major: "channels/123"},
		{method: "GET", path: "/v9/channels/123/messages/", template: "/channels/{id}/messages", major: "channels/123"},
		{method: "GET", path: "/channels/1/messages/2", template: "/channels/{id}/messages/{id}", major: "channels/1"},
		{method: "PUT", path: "/channels/1/messages/2/reactions/%F0%9F%91%8D/@me", template: "/channels/{id}/messages/{id}/reactions/{emoji}/@me", major: "channels/1"},
		{method: "PUT", path: "/channels/1/messages/2/reactions/a%2Fb:3/4", template: "/channels/{id}/messages/{id}/reactions/{emoji}/{id}", major: "channels/1"},
		{method: "GET", path: "/guilds/7/members/9", template: "/guilds/{id}/members/{id}", major: "guilds/7"},
		{method: "GET", path: "/guilds/templates/hgM48av5Q69A", template: "/guilds/templates/{code}"},
		{method: "GET", path: "/invites/0vCdhLbwjZZTWZLD", template: "/invites/{code}"},
		{method: "GET", path: "/channels/1/invites", template: "/channels/{id}/invites", major: "channels/1"},
		{method: "GET", path: "/users/@me/guilds/5/member", template: "/users/@me/guilds/{id}/member"},
		{method: "GET", path: "/webhooks/5", template: "/webhooks/{id}", major: "webhooks/5"},
		{method: "POST", path: "/webhooks/5/" + hook, template: "/webhooks/{id}/{token}", major: "webhooks/5/97888f14e3411d21", webhook: true},
		{method: "PATCH", path: "/webhooks/5/" + hook + "/messages/@original", template: "/webhooks/{id}/{token}/messages/@original", major: "webhooks/5/97888f14e3411d21", webhook: true, interaction: true},
		{method: "POST", path: "/webhooks/5/" + interactionToken + "xyz", template: "/webhooks/{id}/{token}", major: "*", webhook: true, interaction: true},
		{method: "POST", path: "/interactions/5/" + hook + "/callback", template: "/interactions/{id}/{token}/callback", major: "interactions/5/97888f14e3411d21", interaction: true},
		{method: "GET", path: "/gateway/bot", template: "/gateway/bot"},
		{method: "GET", path: "/brand/new/77/thing", template: "/brand/new/{id}/thing"},
		{method: "GET", path: "", template: "/"},
		{method: "GET", path: "/webhooks", template: "/webhooks"},
		{method: "GET", path: "/guilds/templates", template: "/guilds/templates"},
	}
	for _, tt := range tests {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			r := ParseRoute(tt.method, tt.path)
			if r.Template != tt.template || r.Interaction != tt.interaction || r.Webhook != tt.webhook {
				t.Errorf("got %+v", r)
			}
			if tt.major != "*" && r.Major != tt.major {
				t.Errorf("major %q, want %q", r.Major, tt.major)
			}
			if strings.Contains(r.Template+r.Major+r.Key, hook) {
				t.Errorf("the token shows in %+v", r)
			}
		})
	}
}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// fill puts values into a path of the API's document: what each placeholder takes, by its name.
func fill(path, id string) string {
	return placeholder.ReplaceAllStringFunc(path, func(p string) string {
		switch {
		case strings.HasSuffix(p, "token}"):
			return "tok-" + id
		case p == "{emoji_name}":
			return "%F0%9F%91%8D" + id
		case p == "{code}":
			return "code" + id
		}
		return id
	})
}

// TestDocumentedRoutes takes every route of Discord's own document and checks
// that its template doesn't depend on the ids, that its major resource does
// where it should, and that no two routes of one method are taken for one.
func TestDocumentedRoutes(t *testing.T) {
	seen := map[string]string{}
	for path, methods := range documented(t) {
		for _, method := range methods {
			a, b := ParseRoute(method, fill(path, "111")), ParseRoute(method, fill(path, "222"))
			if a.Key != b.Key {
				t.Errorf("%s %s: keys %q and %q", method, path, a.Key, b.Key)
			}
			if want := placeholder.ReplaceAllString(path, "{}"); placeholder.ReplaceAllString(a.Template, "{}") != want {
				t.Errorf("%s %s: template %q", method, path, a.Template)
			}
			for _, top := range []string{"/channels/{", "/guilds/{", "/webhooks/{"} {
				if strings.HasPrefix(path, top) && (a.Major == "" || a.Major == b.Major) {
					t.Errorf("%s %s: major %q and %q", method, path, a.Major, b.Major)
				}
			}
			if other, dup := seen[a.Key]; dup && !sameShape(other, path) {
				t.Errorf("%s and %s share the key %q", other, path, a.Key)
			}
			seen[a.Key] = path
		}
	}
	if len(seen) < 200 {
		t.Fatalf("only %d routes read", len(seen))
	}
}

// sameShape is true if two documented paths differ in the names of their placeholders alone.
func sameShape(a, b string) bool {
	return placeholder.ReplaceAllString(a, "{}") == placeholder.ReplaceAllString(b, "{}")
}

// documented reads testdata/routes.txt.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	f, err := os.Open("testdata/routes.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	routes := map[string][]string{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		path, methods, ok := strings.Cut(sc.Text(), " ")
		if ok && path != "#" {
			routes[path] = strings.Split(methods, ",")
		}
	}
	return routes
}

func FuzzParseRoute(f *testing.F) {
	f.Add("GET", "/api/v10/channels/1/messages")
	f.Add("POST", "/webhooks/1/secret/messages/@original")
	f.Add("", "//")
	f.Fuzz(func(t *testing.T, method, path string) {
		r := ParseRoute(method, path)
		if r.Key != method+" "+r.Template || !strings.HasPrefix(r.Template, "/") {
			t.Errorf("%q: %+v", path, r)
		}
		if again := ParseRoute(method, path); again != r {
			t.Errorf("not stable: %+v, %+v", r, again)
		}
	})
}
