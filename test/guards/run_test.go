package guards

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// testTimeout is what a test binary gets; the guards' tests take seconds.
const testTimeout = 2 * time.Minute

// built is the tests of some packages, with switches for guards.
type built struct {
	dir    string
	guards []guard
	bases  sync.Map // of a package: func() string, what its tests print with all guards in place
}

// buildTests compiles the tests of the guards' packages. The tree isn't touched: the
// go command reads the changed files in place of those of the tree.
func buildTests(t *testing.T, guards []guard) (*built, error) {
	t.Helper()
	b := &built{dir: t.TempDir(), guards: guards}
	overlay, err := writeOverlay(t.TempDir(), guards)
	if err != nil {
		return nil, err
	}
	pkgs := map[string]bool{}
	for i := range guards {
		pkgs["./"+guards[i].testPkg()] = true
	}
	// Unoptimised code is there in half the time.
	args := []string{"test", "-c", "-vet=off", "-gcflags=-N -l", "-overlay", overlay, "-o", b.dir + string(filepath.Separator)}
	cmd := exec.CommandContext(t.Context(), "go", append(args, slices.Sorted(maps.Keys(pkgs))...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go test -c: %w\n%s", err, tail(string(out)))
	}
	return b, nil
}

// writeOverlay writes what -overlay wants: which file is to be read in place of which.
func writeOverlay(dir string, guards []guard) (path string, err error) {
	files, err := switches(guards)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	put := func(at, text string) error {
		at, err := filepath.Abs(filepath.Join(root, at))
		if err != nil {
			return err
		}
		if _, there := replace[at]; there {
			return nil // the switch of a package of several files
		}
		replace[at] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		return os.WriteFile(replace[at], []byte(text), 0o600)
	}
	for file, text := range files {
		name, err := packageOf(text)
		if err == nil {
			err = errors.Join(put(file, text), put(filepath.Join(filepath.Dir(file), switchFile), fmt.Sprintf(switchText, name)))
		}
		if err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	path = filepath.Join(dir, "overlay.json")
	return path, errors.Join(err, os.WriteFile(path, list, 0o600))
}

// run runs tests of a package; out names the guard that is out, "" for none.
func (b *built) run(t *testing.T, pkg, tests, out string) (said string, err error) {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(root, pkg))
	if err != nil {
		return "", err
	}
	name := filepath.Base(pkg)
	if pkg == "." {
		name = "botnode" // as the module's path has it
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(b.dir, name+".test"), "-test.v", "-test.timeout", testTimeout.String(), "-test.run", tests)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), switchVar+"="+out)
	all, err := cmd.CombinedOutput()
	return string(all), err
}

// base returns what the guards' tests of a package print with all guards in place.
func (b *built) base(t *testing.T, pkg string) string {
	t.Helper()
	once, _ := b.bases.LoadOrStore(pkg, sync.OnceValue(func() string {
		tests := map[string]bool{}
		for i := range b.guards {
			if g := &b.guards[i]; g.testPkg() == pkg {
				top, _, _ := strings.Cut(g.test, "/")
				tests[top] = true
			}
		}
		said, _ := b.run(t, pkg, "^("+strings.Join(slices.Sorted(maps.Keys(tests)), "|")+")$", "") // what failed is in it
		return said
	}))
	f, _ := once.(func() string)
	return f()
}

// notices runs the guard's test with the guard and without it. It returns what the
// test says; the error is that it fails anyway, doesn't fail, or ends otherwise.
func (b *built) notices(t *testing.T, g *guard) (said string, err error) {
	t.Helper()
	pkg, passes := g.testPkg(), "--- PASS: "+g.test+" "
	base := b.base(t, pkg)
	if !strings.Contains(base, passes) {
		base, _ = b.run(t, pkg, g.pattern(), "") // by itself: beside the others an election may be lost on a busy machine
	}
	if !strings.Contains(base, passes) {
		return "", fmt.Errorf("with all guards in place %s of %s doesn't pass:\n%s", g.test, pkg, tail(base))
	}
	out, err := b.run(t, pkg, g.pattern(), g.name)
	switch {
	case err == nil:
		return "", fmt.Errorf("nobody notices: %s of %s passes, but this doesn't hold: %s", g.test, pkg, g.protects)
	case crashed.MatchString(out):
		return "", fmt.Errorf("%s of %s crashed or timed out in place of failing:\n%s", g.test, pkg, tail(out))
	case !strings.Contains(out, "--- FAIL: "+g.test+" "):
		return "", fmt.Errorf("%s of %s ended without a failed assertion: %w\n%s", g.test, pkg, err, tail(out))
	}
	return assertion(out), nil
}

// crashed is how a test binary ends that didn't come to its end.
var crashed = regexp.MustCompile(`(?m)^(panic: |fatal error: )`)

// tail returns the end of a long output.
func tail(out string) string { return out[max(0, len(out)-3000):] }

// assertion returns the line that an assertion printed first.
func assertion(out string) string {
	if line := asserts.FindString(out); line != "" {
		return strings.TrimSpace(line)
	}
	return "it fails"
}

var asserts = regexp.MustCompile(`(?m)^\s+\w+_test\.go:\d+: .*$`)
