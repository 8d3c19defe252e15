//go:build clients

package clients

import (
	"bufio"
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/testproc"
)

// module is the path that the modules of the Go libraries have in common.
const module = "github.com/botnode/botnode/test/clients/"

// library is a foreign library with a bot.
type library struct {
	// name is that of its folder, and what its bot's pings begin with.
	name string
	// shards is how many the bot is told to have.
	shards string
	// forgets: it begins a new session when an address refuses its connection, and
	// resumes only where one is accepted.
	forgets bool
	// program returns how its bot is run, and skips the test where it can't be.
	program func(t *testing.T) (path string, args []string)
}

// libraries are all of them. At the proxy a client's shards are its own: one
// bot takes the number that it is told, the others have two and one.
var libraries = []library{
	{"discordjs", "auto", true, script},
	{"discordgo", "2", false, binary},
	{"disgo", "1", false, binary},
	{"oceanicjs", "auto", false, script},
	{"discordpy", "1", false, snake},
}

func script(t *testing.T) (string, []string) {
	dir := folder(t)
	npm(t, dir)
	return "node", []string{filepath.Join(dir, "bot.js")}
}

func binary(t *testing.T) (string, []string) {
	dir := folder(t)
	return build(t, dir, module+dir), nil
}

func snake(t *testing.T) (string, []string) {
	return python(t), []string{"-B", filepath.Join(folder(t), "bot.py")}
}

// folder is that of the library that a subtest is named for.
func folder(t *testing.T) string { return filepath.Base(t.Name()) }

// client is a bot's process.
type client struct {
	library
	proc *testproc.Proc
}

// launch starts a bot against a Discord.
func launch(t *testing.T, l library, dir string, env ...string) *client {
	t.Helper()
	path, args := l.program(t)
	p, err := testproc.Start(testproc.Options{
		Path: path, Args: args, Env: append(env, "SHARD_TOTAL="+l.shards), Log: filepath.Join(dir, l.name+".log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &client{library: l, proc: p}
}

// end lets a bot end by itself, and wants it to do that well.
func (c *client) end(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer c.proc.Close()
	if err := c.proc.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("%s: %v", c.name, err)
		return
	}
	if code, err := c.proc.Wait(ctx); code != 0 || err != nil {
		t.Errorf("%s ends with code %d: %v", c.name, code, err)
	}
}

// tally is what a bot has told.
type tally struct {
	ready                             bool
	guilds                            int
	identified, resumed, disconnected int
	got, sent                         map[string]int
	repeats, failed, errors           []string
}

// tally reads what the bot has written so far.
func (c *client) tally() tally {
	t := tally{got: map[string]int{}, sent: map[string]int{}}
	for s := bufio.NewScanner(strings.NewReader(c.proc.Log())); s.Scan(); {
		word, rest, _ := strings.Cut(s.Text(), " ")
		switch word {
		case "ready":
			t.ready = true
		case "guilds":
			n, _ := strconv.Atoi(rest)
			t.guilds = max(t.guilds, n)
		case "identified":
			t.identified++
		case "resumed":
			t.resumed++
		case "disconnected":
			t.disconnected++
		case "got":
			t.got[rest]++
		case "sent", "uploaded":
			t.sent[rest]++
		case "repeat":
			t.repeats = append(t.repeats, rest)
		case "failed":
			t.failed = append(t.failed, rest)
		case "error":
			t.errors = append(t.errors, rest)
		}
	}
	return t
}

func (t *tally) String() string {
	return fmt.Sprintf("ready %t, guilds %d, identified %d, resumed %d, disconnected %d, got %d, sent %d, repeats %d %q, failed %q, errors %q",
		t.ready, t.guilds, t.identified, t.resumed, t.disconnected, len(t.got), len(t.sent), len(t.repeats),
		t.repeats[:min(3, len(t.repeats))], t.failed[:min(3, len(t.failed))], t.errors[:min(3, len(t.errors))])
}
