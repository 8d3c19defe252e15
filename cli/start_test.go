package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/node"
)

// env is an environment of nothing but this.
func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// configOf resolves the arguments of start.
func configOf(t *testing.T, o Options, vars map[string]string, args ...string) (*startConfig, error) {
	t.Helper()
	o.LookupEnv = env(vars)
	a := newApp(o)
	cmd, _, err := a.root.Find([]string{"start"})
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return a.startConfig(cmd.Flags())
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "botnode.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	path := write(t, "id: file\nhttp_addr: 127.0.0.1:1\njoin: [a:1, b:2]\nlog_level: warn\nbots:\n  default:\n    shards: 3\n    intents: guilds\n    max_attempts: 9\n")
	vars := map[string]string{"BOTNODE_TOKEN": "t", "BOTNODE_CONFIG": path, "BOTNODE_HTTP_ADDR": "127.0.0.1:2", "BOTNODE_ID": "env", "BOTNODE_SHARDS": "5", "BOTNODE_INTENTS": ""}
	c, err := configOf(t, Options{}, vars, "--id", "flag")
	if err != nil {
		t.Fatal(err)
	}
	if c.node.ID != "flag" || c.httpAddr != "127.0.0.1:2" || c.logLevel != zapcore.WarnLevel || !slices.Equal(c.node.Join, []string{"a:1", "b:2"}) {
		t.Errorf("flag, environment, file: %q %q %v %q", c.node.ID, c.httpAddr, c.logLevel, c.node.Join)
	}
	seed := c.node.Bots[0].Seed
	if seed.Shards != "5" || seed.Intents != uint64(discord.IntentGuilds) || seed.MaxAttempts != 9 || seed.API != "https://discord.com/api/v10" {
		t.Errorf("seeds: %+v", seed)
	}
	if c.node.ClusterAddr != "127.0.0.1:7101" {
		t.Errorf("a default: %q", c.node.ClusterAddr)
	}
}

func TestDefaults(t *testing.T) {
	c, err := configOf(t, Options{}, map[string]string{"DISCORD_TOKEN": "Bot abc\n", "STATE_DIRECTORY": "/var/lib/botnode:/var/lib/other"})
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Skip("the host has no name")
	}
	short, _, _ := strings.Cut(host, ".")
	if c.node.ID != short || c.node.DataDir != "/var/lib/botnode" || c.node.Bots[0].Token != "abc" || c.node.Bots[0].Name != DefaultBot {
		t.Errorf("%q %q %q", c.node.ID, c.node.DataDir, c.node.Bots[0].Name)
	}
	if c.node.Bots[0].Seed.Intents != uint64(discord.IntentsDefault) {
		t.Errorf("intents %d", c.node.Bots[0].Seed.Intents)
	}
}

func TestTokenSources(t *testing.T) {
	file := write(t, " from-file \n")
	both := map[string]string{"BOTNODE_TOKEN": "own", "DISCORD_TOKEN": "common"}
	for _, tt := range []struct {
		vars map[string]string
		args []string
		want string
	}{
		{both, nil, "own"},
		{map[string]string{"DISCORD_TOKEN": "common"}, nil, "common"},
		{both, []string{"--token-file", file}, "from-file"},
		{map[string]string{"BOTNODE_TOKEN_FILE": file, "BOTNODE_TOKEN": "own"}, nil, "from-file"},
	} {
		c, err := configOf(t, Options{}, tt.vars, tt.args...)
		if err != nil || c.node.Bots[0].Token != tt.want {
			t.Errorf("%v %v: %v", tt.vars, tt.args, err)
		}
	}
}

func TestPrograms(t *testing.T) {
	token := map[string]string{"DISCORD_TOKEN": "t"}
	attached := 0
	o := Options{Programs: []Program{{Program: node.Program{Intents: discord.IntentGuildMessages, Attach: func(*node.Node) { attached++ }}}}}
	c, err := configOf(t, o, token)
	if err != nil || len(c.attach) != 1 || c.node.Bots[0].Seed.Intents != uint64(discord.IntentGuildMessages) {
		t.Fatalf("a program's own intents: %+v, %v", c, err)
	}
	c, err = configOf(t, o, token, "--intents", "guilds")
	if err != nil || c.node.Bots[0].Seed.Intents != uint64(discord.IntentGuilds) {
		t.Errorf("a flag goes before them: %v", err)
	}
	o.Programs = append(o.Programs, Program{Name: "second"})
	if _, err = configOf(t, o, token); err == nil {
		t.Error("two bots share one token")
	}
	two := map[string]string{"BOTNODE_TOKEN_DEFAULT": "a", "BOTNODE_TOKEN_SECOND": "b"}
	if c, err = configOf(t, o, two); err != nil || c.node.Bots[1].Token != "b" {
		t.Errorf("a token each: %v", err)
	}
	if _, err = configOf(t, o, two, "--shards", "3"); err == nil || !strings.Contains(err.Error(), "bots:") {
		t.Errorf("one seed for two bots: %v", err)
	}
	two["BOTNODE_CONFIG"] = write(t, "bots: {secnod: {shards: 1}}")
	if _, err = configOf(t, o, two); err == nil || !strings.Contains(err.Error(), `did you mean "second"`) {
		t.Errorf("a section of no bot: %v", err)
	}
	named := ""
	o.Programs = []Program{{Named: func(name string) { named = name }}}
	two["BOTNODE_CONFIG"] = write(t, "bots: {second: {shards: 1}, default: {}}")
	if _, err = configOf(t, o, two); err == nil || !strings.Contains(err.Error(), `unknown key "second"`) {
		t.Errorf("one program for two bots: %v", err)
	}
	two["BOTNODE_CONFIG"] = write(t, "bots: {second: {shards: 1}}")
	if c, err = configOf(t, o, map[string]string{"BOTNODE_TOKEN": "t", "BOTNODE_CONFIG": two["BOTNODE_CONFIG"]}); err != nil ||
		c.node.Bots[0].Name != "second" || named != "second" || c.node.Bots[0].Seed.Shards != "1" {
		t.Errorf("a program that the file names: %q, %v", named, err)
	}
}

// output is a writer for several goroutines.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// process is a node that runs through the command line.
type process struct {
	t       *testing.T
	log     *output
	http    string
	cluster string
	signals chan os.Signal
	code    chan int
}

var serving = regexp.MustCompile(`"msg":"serving".*"http":"([^"]+)","cluster":"([^"]+)"`)

// freeAddr returns an address that was free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func startNode(t *testing.T, api, id, dir string, args ...string) *process {
	t.Helper()
	return startNodeWith(t, map[string]string{"DISCORD_TOKEN": secret}, api, id, dir, args...)
}

// startNodeWith starts a node with an environment of its own.
func startNodeWith(t *testing.T, vars map[string]string, api, id, dir string, args ...string) *process {
	t.Helper()
	p := &process{t: t, log: &output{}, signals: make(chan os.Signal, 2), code: make(chan int, 1)}
	a := newApp(Options{
		Version: "v1", Stderr: p.log, LookupEnv: env(vars),
		Args: append([]string{"start", "--id", id, "--data-dir", dir, "--cluster-addr", freeAddr(t), "--http-addr", "127.0.0.1:0", "--discord-api", api}, args...),
	})
	a.signals = func() (<-chan os.Signal, func()) { return p.signals, func() {} }
	go func() {
		cmd, err := a.root.ExecuteContextC(context.Background())
		p.code <- a.exit(cmd, err)
	}()
	deadline := time.After(20 * time.Second)
	for {
		if m := serving.FindStringSubmatch(p.log.String()); m != nil {
			p.http, p.cluster = "http://"+m[1], m[2]
			return p
		}
		select {
		case code := <-p.code:
			t.Fatalf("exit code %d: %s", code, p.log)
		case <-deadline:
			t.Fatalf("not serving: %s", p.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// run runs a command against the node.
func (p *process) run(args ...string) (int, string) {
	var out, errs output
	code := Run(p.t.Context(), Options{Version: "v1", Args: append(args, "--http", p.http), Stdout: &out, Stderr: &errs, LookupEnv: env(nil)})
	return code, out.String() + errs.String()
}

func (p *process) must(args ...string) string {
	p.t.Helper()
	code, out := p.run(args...)
	if code != 0 {
		p.t.Fatalf("%v: exit code %d: %s\n%s", args, code, out, p.log)
	}
	return out
}

func (p *process) exitCode() int {
	select {
	case code := <-p.code:
		return code
	case <-time.After(40 * time.Second):
		p.t.Fatalf("the node doesn't end: %s", p.log)
		return -1
	}
}

// TestNodesThroughTheCommandLine starts two nodes, joins them, and ends one by
// leaving and the other by a signal.
func TestNodesThroughTheCommandLine(t *testing.T) {
	discordSim := sim.New(sim.Options{Token: secret})
	if err := discordSim.Start(); err != nil {
		t.Fatal(err)
	}
	defer discordSim.Close()
	dirs := []string{t.TempDir(), t.TempDir()}
	joe := startNode(t, discordSim.APIURL(), "joe", dirs[0], "--bootstrap", "--metrics-addr", "127.0.0.1:0")
	mike := startNode(t, discordSim.APIURL(), "mike", dirs[1])
	if code, out := mike.run("status", "--check"); code != admin.ExitUnknown || !strings.Contains(out, "idle") {
		t.Errorf("an idle node: %d %s", code, out)
	}
	if out := mike.must("join", joe.cluster); !strings.Contains(out, "caught up") || !strings.Contains(out, "joined in") {
		t.Errorf("join: %s", out)
	}
	joe.must("wait", "--for", "ready", "--timeout", "20s")
	joe.must("wait", "--for", "nodes=2", "--timeout", "10s")
	known := append([]string{"node.lock"}, stateFiles...)
	for _, name := range listing(t, dirs[1]) {
		if !slices.Contains(known, name) {
			t.Errorf("the node keeps %s, which wipe doesn't know", name)
		}
	}
	shown := joe.must("status") + joe.must("status", "--json") + joe.must("config", "show") + joe.must("events") +
		joe.must("cache", "stats") + checkMetrics(t, joe.http)
	snap := filepath.Join(t.TempDir(), "s.snap")
	shown += joe.must("snapshot", "save", snap) + joe.must("snapshot", "inspect", snap)
	mike.must("leave")
	if code := mike.exitCode(); code != 0 {
		t.Errorf("after leaving: exit code %d", code)
	}
	if left := listing(t, dirs[1]); !slices.Equal(left, []string{"node.lock"}) {
		t.Errorf("after leaving, the directory holds %v", left)
	}
	joe.signals <- syscall.SIGTERM
	if code := joe.exitCode(); code != 0 {
		t.Errorf("after SIGTERM: exit code %d: %s", code, joe.log)
	}
	raw, err := os.ReadFile(snap)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"output": shown, "log": joe.log.String() + mike.log.String(), "snapshot": string(raw)} {
		for part := range strings.SplitSeq(secret, ".") {
			if strings.Contains(text, part) {
				t.Errorf("the %s has a part of the token", name)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	block := make(chan struct{})
	r := &running{log: zap.NewNop(), fatal: make(chan error, 1)}
	var own exitError
	err := r.endOrBreak(signals, func(context.Context) error { <-block; return nil })
	if !errors.As(err, &own) || own.code != admin.ExitFailed {
		t.Errorf("a second signal: %v", err)
	}
	r.fatal <- errors.New("disk")
	if err := r.endOrBreak(nil, func(context.Context) error { <-block; return nil }); err == nil || err.Error() != "disk" {
		t.Errorf("fatal while stopping: %v", err)
	}
	close(block)
}

// TestFatalWhileLeaving: a node that has left its cluster and can't stop, such as on a
// disk that hangs, ends all the same, and doesn't empty a directory that is in use.
func TestFatalWhileLeaving(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "vote.json")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := &running{log: zap.NewNop(), fatal: make(chan error, 1)}
	broken := errors.New("the disk hangs")
	ended := make(chan error, 1)
	go func() {
		ended <- r.gone(func(context.Context) error {
			r.fatal <- broken
			<-t.Context().Done()
			return nil
		}, dir)
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, broken) {
			t.Errorf("%v, want %v", err, broken)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it hangs")
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if err := r.gone(func(context.Context) error { return nil }, dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory isn't fresh: %v", err)
	}
}

// A log that can't be read is reported while the node is being opened, by
// whoever opens it, and that one doesn't come back.
func TestFatalWhileOpening(t *testing.T) {
	r := &running{log: zap.NewNop(), fatal: make(chan error, 1)}
	broken := errors.New("the log can't be read")
	err := r.unlessFatal(func() error {
		r.fatal <- broken
		<-t.Context().Done()
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	if err := r.unlessFatal(func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}

func TestPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	busy := ln.Addr().String()
	for _, flag := range []string{"--http-addr", "--cluster-addr"} {
		var errs output
		args := []string{"start", "--data-dir", t.TempDir(), "--cluster-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", flag, busy}
		code := Run(t.Context(), Options{Args: args, Stderr: &errs, LookupEnv: env(map[string]string{"DISCORD_TOKEN": secret})})
		if code != admin.ExitFailed || !strings.Contains(errs.String(), flag) {
			t.Errorf("%s in use: exit code %d: %s", flag, code, errs.String())
		}
	}
}

// checkMetrics looks for the series of all sources.
func checkMetrics(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url + "/metrics") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"botnode_is_leader", "botnode_log_append_seconds_count", "botnode_raft_", "botnode_memberlist_", "go_goroutines", "process_open_fds"} {
		if !strings.Contains(string(b), "\n"+name) {
			t.Errorf("no series %s", name)
		}
	}
	return string(b)
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
