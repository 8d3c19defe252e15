//go:build clients

package clients

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/internal/testproc"
)

// recipe is a program that documentation shows, under a heading.
type recipe struct {
	doc, heading string
	// library is the folder whose module or lock file the program uses.
	library string
}

var recipes = []recipe{
	{"docs/any-language.md", "discord.js", "discordjs"},
	{"docs/any-language.md", "discordgo", "discordgo"},
	{"docs/any-language.md", "disgo", "disgo"},
	{"docs/any-language.md", "oceanic.js", "oceanicjs"},
	{"docs/any-language.md", "discord.py", "discordpy"},
	{"README.md", "Any language, through the proxy", "discordjs"},
}

// fence matches a block of code with its language.
var fence = regexp.MustCompile("(?s)```(js|go|python)\n(.*?)```")

// code is the first block of code under a heading, and its language.
func code(t *testing.T, doc, heading string) (lang, text string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, doc))
	if err != nil {
		t.Fatal(err)
	}
	_, under, found := strings.Cut(string(b), "# "+heading+"\n")
	m := fence.FindStringSubmatch(under)
	if !found || m == nil {
		t.Fatalf("%s has no code under %q", doc, heading)
	}
	return m[1], m[2]
}

// cook makes a program of code in the folder of a library, and returns how it is run.
func cook(t *testing.T, library, lang, text string) (path string, args []string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	switch lang {
	case "js":
		npm(t, library)
		modules, err := filepath.Abs(filepath.Join(library, "node_modules"))
		if err == nil {
			err = os.Symlink(modules, filepath.Join(dir, "node_modules"))
		}
		if err != nil {
			t.Fatal(err)
		}
		return "node", []string{write("bot.mjs")}
	case "python":
		return python(t), []string{"-B", write("bot.py")}
	}
	write("main.go")
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(library, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	path, err := testproc.Build(t.Context(), dir, module+library, filepath.Join(dir, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	return path, nil
}

// serve runs the code of a heading until the test's end.
func (c *cluster) serve(t *testing.T, doc, heading, library string) *testproc.Proc {
	t.Helper()
	lang, text := code(t, doc, heading)
	path, args := cook(t, library, lang, text)
	p, err := testproc.Start(testproc.Options{
		Path: path, Args: args, Env: []string{"PROXY=http://" + c.public.addr(), "KEY=" + c.key},
		Log: filepath.Join(t.TempDir(), "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// TestRecipes runs the code of the documentation as it stands there.
func TestRecipes(t *testing.T) {
	t.Parallel() // most of its time is a program's start
	c := trio(t, true)
	for _, r := range recipes {
		t.Run(r.heading, func(t *testing.T) {
			p := c.serve(t, r.doc, r.heading, r.library)
			c.pong(t, p)
		})
	}
	t.Run("Voice", func(t *testing.T) {
		p := c.serve(t, "docs/any-language.md", "Voice", "discordjs")
		c.poll("both events of voice", 20*time.Second, func() error {
			if !p.Logged("VOICE_STATE_UPDATE") || !p.Logged("VOICE_SERVER_UPDATE") {
				return errNotYet
			}
			return nil
		})
	})
}

// pong says "!ping" until somebody answers: when the bot is ready it alone knows.
func (c *cluster) pong(t *testing.T, p *testproc.Proc) {
	t.Helper()
	for range 40 {
		said, err := c.sim.Say(sim.Say{Content: "!ping"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		a, err := said.Answer(ctx)
		cancel()
		if err == nil {
			if a.Content != "pong" || a.Nonce == "" {
				t.Errorf("it answers %+v", a)
			}
			return
		}
		if !p.Alive() {
			break
		}
	}
	t.Fatalf("no answer: %s", p.Log())
}
