//go:build clients

package clients

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/testproc"
)

var full = flag.Bool("full", false, "1,000 pings and several kills of each kind, in place of a short form")

// root is the folder of the main module.
const root = "../.."

// programs are what the tests run, each made once.
var programs = struct {
	dir   string
	ports testproc.Ports

	mu   sync.Mutex // guards made
	made map[string]func(context.Context) error
}{made: map[string]func(context.Context) error{}}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testproc.Main(m, "botnode-clients", func(dir string) { programs.dir = dir }))
}

// once makes something at its first use; others wait for it.
func once(t *testing.T, key string, f func(ctx context.Context) error) {
	t.Helper()
	programs.mu.Lock()
	do := programs.made[key]
	if do == nil {
		var first sync.Once
		var err error
		do = func(ctx context.Context) error {
			first.Do(func() { err = f(ctx) })
			return err
		}
		programs.made[key] = do
	}
	programs.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := do(ctx); err != nil {
		t.Fatal(err)
	}
}

// build makes a binary of a package, of the module in dir.
func build(t *testing.T, dir, pkg string) string {
	t.Helper()
	once(t, pkg, func(ctx context.Context) error {
		_, err := testproc.Build(ctx, dir, pkg, programs.dir)
		return err
	})
	return filepath.Join(programs.dir, filepath.Base(pkg))
}

// npm installs what a folder's lock file names.
func npm(t *testing.T, dir string) {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("no Node.js here")
	}
	once(t, dir, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, "npm", "ci", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error")
		cmd.Dir = dir
		if b, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("npm ci in %s: %w\n%s", dir, err, b)
		}
		return nil
	})
}

// python is an interpreter that has discord.py: Debian's is in python3-discord.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), name, "-c", "import discord.app_commands").Run() == nil {
			return name
		}
	}
	t.Skip("no Python with discord.py here")
	return ""
}
