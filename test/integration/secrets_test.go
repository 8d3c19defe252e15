//go:build unix

package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/internal/backupfile"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/trust"
)

// forms are the ways in which a secret might be written down.
func forms(secret []byte) map[string][]byte {
	return map[string][]byte{
		"as it is":              secret,
		"in hex":                []byte(hex.EncodeToString(secret)),
		"in base64":             bytes.TrimRight([]byte(base64.StdEncoding.EncodeToString(secret)), "="),
		"in URL-safe base64":    []byte(base64.RawURLEncoding.EncodeToString(secret)),
		"in a list of integers": []byte(strings.Trim(strings.ReplaceAll(fmt.Sprintf("%d", secret), " ", ","), "[]")),
	}
}

// traces returns the names of the secrets that a text holds, and how.
func traces(text []byte, secrets map[string][]byte) (found []string) {
	for name, secret := range secrets {
		for form, b := range forms(secret) {
			if bytes.Contains(text, b) {
				found = append(found, name+" "+form)
			}
		}
	}
	return found
}

// TestTracesAreFound shows that what the audit looks with can see.
func TestTracesAreFound(t *testing.T) {
	secret := []byte("a secret \x00\xff of some length")
	for form, b := range forms(secret) {
		if got := traces(append([]byte("before"), append(b, "after"...)...), map[string][]byte{"it": secret}); len(got) == 0 {
			t.Errorf("%s: not seen", form)
		}
	}
	if got := traces([]byte("a secret of some length"), map[string][]byte{"it": secret}); len(got) != 0 {
		t.Errorf("seen where it isn't: %v", got)
	}
}

// TestNoSecretShows runs a cluster with every secret that there is, through load, a
// kill, a rotation and a snapshot, and looks for them wherever they must not be.
func TestNoSecretShows(t *testing.T) {
	c := newCluster(t, simOptions(3))
	secrets := map[string][]byte{"the bot's token": []byte(c.token), "the end of the bot's token": []byte(c.token[strings.LastIndexByte(c.token, '.')+1:])}
	addrs := make(map[string]string)
	join := c.Secure(func(id string) []string {
		addr, err := programs.ports.Addr()
		if err != nil {
			t.Fatal(err)
		}
		addrs[id] = addr
		return []string{"--log-level", "debug", "--proxy-addr", addr}
	})
	secret := func(name, text string) string {
		text = strings.TrimSpace(text)
		secrets[name] = []byte(text[strings.LastIndexByte(text, '.')+1:])
		return text
	}
	secret("the join token", join)
	c.admin = secret("the admin token", c.OK("joe", "admin-token", "create", "canary-token", "--right", "admin"))
	secret("another admin token", c.OK("mike", "admin-token", "create", "reader", "--right", "read"))
	key := secret("the client key", c.OK("mike", "client-key", "create", "web"))
	const canary = "canary-that-anybody-may-see"
	c.OK("joe", "kv", "put", "canary", `"`+canary+`"`)

	client := &proxied{cluster: c, addrs: addrs, key: key}
	c.Load(roundPings, func() {
		for _, id := range []string{"joe", "mike", "robert"} {
			c.poll("the key holds at "+id, 10*time.Second, func() error {
				status, err := client.ask(t.Context(), &c.http, id, http.MethodGet, "/users/@me", "")
				return yes(err == nil && status == http.StatusOK, "%d, %v", status, err)
			})
		}
		c.Kill9("mike")
	})
	c.Restart("mike")
	c.WaitReady()
	keysOf(t, c, secrets)
	c.OK("robert", "tls", "rotate")
	c.poll("the rotation is done", 20*time.Second, func() error {
		var s admin.TLS
		err := c.request(http.MethodGet, "joe", "/v1/tls", nil, &s)
		return yes(err == nil && s.Epoch == 2 && s.Next == 0, "%+v, %v", s, err)
	})
	c.poll("the bot's token is sealed anew", 20*time.Second, func() error {
		var s admin.BotToken
		err := c.request(http.MethodGet, "joe", "/v1/bot-token", nil, &s)
		return yes(err == nil && s.Epoch == 2, "%+v, %v", s, err)
	})
	c.OK("joe", "snapshot", "save", filepath.Join(c.dir, "joe", "saved.snap"))
	keysOf(t, c, secrets)
	if len(secrets) < 6+2+2+3 {
		t.Fatalf("only %d secrets are looked for", len(secrets))
	}

	audit(t, c, secrets, canary)
	c.Unharmed()
	c.Emptied()
}

// keysOf adds what the nodes' own key files hold, and the authorities' keys.
func keysOf(t *testing.T, c *cluster, secrets map[string][]byte) {
	t.Helper()
	state := stateOf(t, c)
	for id, n := range c.nodes {
		k, err := trust.OpenKeychain(trust.Directory(n.dir), id)
		if err != nil {
			t.Fatal(err)
		}
		own, err := k.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		addKey(t, secrets, fmt.Sprintf("%s's key until %d", id, k.NotAfter().Unix()), der)
		all, _ := k.Secrets()
		for _, s := range all {
			secrets[fmt.Sprintf("the cluster's secret of epoch %d", s.Epoch)] = s.Key[:]
			for _, a := range state.Trust().Authorities {
				if der, err := s.Unseal("authority", trust.Fingerprint(a.Cert), a.Key); err == nil {
					addKey(t, secrets, fmt.Sprintf("the authority's key of epoch %d", s.Epoch), der)
				}
			}
		}
	}
}

// addKey adds a private key: what is secret of it is one number.
func addKey(t *testing.T, secrets map[string][]byte, name string, der []byte) {
	t.Helper()
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		pkcs, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			t.Fatal(err)
		}
		if der, err = x509.MarshalECPrivateKey(pkcs.(*ecdsa.PrivateKey)); err != nil {
			t.Fatal(err)
		}
		if key, err = x509.ParseECPrivateKey(der); err != nil {
			t.Fatal(err)
		}
	}
	b, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	secrets[name] = b
}

// stateOf reads the replicated state out of a snapshot.
func stateOf(t *testing.T, c *cluster) (s *fsm.State) {
	t.Helper()
	path := filepath.Join(c.dir, "state.snap")
	c.OK("joe", "snapshot", "save", path)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close(); _ = os.Remove(path) }()
	k, err := trust.OpenKeychain(trust.Directory(c.nodes["joe"].dir), "joe")
	if err != nil {
		t.Fatal(err)
	}
	b, err := node.ReadBackup(bufio.NewReaderSize(f, 64<<10), node.UnsealWith(k.BackupKey))
	if err != nil {
		t.Fatal(err)
	}
	if b.Header.Encryption == backupfile.None {
		t.Error("the backup is in clear")
	}
	return b.State
}

// audit looks for secrets in files, logs, arguments and answers, and for something
// in each that is there.
func audit(t *testing.T, c *cluster, secrets map[string][]byte, canary string) {
	t.Helper()
	look := func(where string, text []byte, seen string) {
		if found := traces(text, secrets); len(found) > 0 {
			t.Errorf("%s: %v", where, found)
		}
		if seen != "" && !bytes.Contains(text, []byte(seen)) {
			t.Errorf("%s doesn't hold %q: the audit looks in the wrong place", where, seen)
		}
	}
	for id, n := range c.nodes {
		var all []byte
		files := 0
		err := filepath.WalkDir(n.dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() == trust.FileName {
				return err
			}
			b, err := os.ReadFile(path)
			look(path, b, "")
			all = append(all, b...)
			files++
			return err
		})
		if err != nil || files < 3 {
			t.Fatalf("%s: %d files, %v", id, files, err)
		}
		look(id+"'s directory", all, canary)
		look(id+"'s log", []byte(n.proc.Log()), "the bot's sealed token is in use")
		argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", n.proc.PID()))
		if err != nil {
			t.Skip("no /proc here")
		}
		look(id+"'s arguments", argv, "--proxy-addr")
		look(id+"'s metrics", c.answer(id, "/metrics"), "botnode_is_leader")
		auditRoutes(t, c, id, look, canary)
	}
}

// auditRoutes reads everything that can be read of a node's API, but what hands out
// the key of backups.
func auditRoutes(t *testing.T, c *cluster, id string, look func(where string, text []byte, seen string), canary string) {
	t.Helper()
	guild := c.sim.GuildIDs()[0].String()
	fill := strings.NewReplacer("/nodes/{id}", "/nodes/joe", "/shards/{id}", "/shards/0", "/guilds/{id}", "/guilds/"+guild,
		"{kind}", "members", "/users/{id}", "/users/1", "{key...}", "canary")
	seen := map[string]string{"/kv": canary, "/kv/{key...}": canary, "/nodes": c.nodes["joe"].cluster, "/admin-tokens": "canary-token", "/events": "event"}
	read := 0
	for _, r := range admin.Routes() {
		path, reads := strings.CutPrefix(r.Pattern, "GET ")
		if !reads || path == "/tls/backup-key" {
			continue
		}
		look(id+": "+r.Pattern, c.answer(id, "/v1"+fill.Replace(path)), seen[path])
		read++
	}
	if read < 20 {
		t.Errorf("only %d routes were read", read)
	}
}

// answer reads what a path of a node's API says, for a while where it doesn't end.
func (c *cluster) answer(id, path string) []byte {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.nodes[id].http+path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.admin)
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", id, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body) // a stream ends with its context
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
		c.t.Errorf("%s %s: %s", id, path, res.Status)
	}
	return b
}
