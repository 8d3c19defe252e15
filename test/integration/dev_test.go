//go:build unix

package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestDev talks to the stock program and to an author's through a pipe. Neither
// has a token, and neither leaves a file.
func TestDev(t *testing.T) {
	parallel(t)
	for _, tt := range []struct {
		pkg, input string
		want       []string
	}{
		{"./cmd/botnode", "!ping\n!ping a b\nnothing\n:restart\n!ping again", []string{"bot: pong", "bot: pong a b", "bot: pong again"}},
		{"./test/integration/testbot", "!ping 1\n!ping 2\n:restart\n!ping 3\n:kv\n:quit\n!ping 4\n",
			[]string{"bot: pong 1", "bot: pong 2", "bot: pong 3", "pings = 3"}},
	} {
		t.Run(tt.pkg, func(t *testing.T) {
			stdout, stderr := dev(t, tt.pkg, tt.input)
			if got := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n"); strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Errorf("answers %q, want %q", got, tt.want)
			}
			if stderr != "" {
				t.Errorf("warnings: %s", stderr)
			}
		})
	}
	t.Run("a handler that fails", func(t *testing.T) {
		stdout, stderr := dev(t, "./test/integration/testbot", "!fail once\n!ping\n")
		if stdout != "bot: done\nbot: pong \n" || !strings.Contains(stderr, "asked to fail") {
			t.Errorf("answers %q, warnings %q", stdout, stderr)
		}
	})
}

// dev runs `dev` in an empty folder, which stays empty, and without a token.
func dev(t *testing.T, pkg, input string) (stdout, stderr string) {
	t.Helper()
	bin := program(t, pkg)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, bin, "dev")
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + dir, "HOME=" + dir}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), errs.String())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return out.String(), errs.String()
}
