package guards

import (
	"cmp"
	"flag"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// root is the module's folder.
const root = "../.."

// guard is one entry of the table.
type guard struct {
	name     string // area/name
	protects string // what holds by it, in a sentence
	file     string // where it is, from the module's folder
	cut      string // the piece of source, in a function; it is there once
	with     string // what stands in its place when the guard is out
	pkg      string // of the test; the file's own if it is ""
	test     string // that must notice, with its subtests as in testing's output
	cheap    bool   // it is run by plain `go test`, too
}

func (g *guard) area() string { area, _, _ := strings.Cut(g.name, "/"); return area }

// testPkg returns the folder of the test.
func (g *guard) testPkg() string { return cmp.Or(g.pkg, filepath.Dir(g.file)) }

// pattern returns what -test.run takes for the test and no other.
func (g *guard) pattern() string {
	parts := strings.Split(g.test, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// table is all guards, in the order in which they are shown.
func table() []guard {
	return slices.Concat(stateGuards(), shardGuards(), storeGuards(), restoreGuards(), securityGuards(), discordGuards(), proxyGuards())
}

// wanted returns the guards that the command line asks for: by name TestGuards takes
// the whole table, or the areas that the rest of the pattern takes. As a part of a
// run over all tests it has time for the cheap ones alone.
func wanted(t *testing.T) []guard {
	t.Helper()
	run := flag.Lookup("test.run").Value.String()
	if !strings.Contains(run, "TestGuards") {
		return slices.DeleteFunc(table(), func(g guard) bool { return !g.cheap })
	}
	_, rest, _ := strings.Cut(run, "/")
	area, _, _ := strings.Cut(rest, "/")
	re, err := regexp.Compile(area)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(table(), func(g guard) bool { return !re.MatchString(g.area()) })
}

// TestGuards takes out one guard at a time.
func TestGuards(t *testing.T) {
	guards := wanted(t)
	b, err := buildTests(t, guards)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for i := range guards {
		if area := guards[i].area(); !slices.Contains(order, area) {
			order = append(order, area)
		}
	}
	var tried, noticed atomic.Int32
	t.Cleanup(func() {
		t.Logf("%d of the table's %d guards were taken out, %d noticed", tried.Load(), len(table()), noticed.Load())
	})
	for _, area := range order {
		t.Run(area, func(t *testing.T) {
			for _, g := range guards {
				if g.area() != area {
					continue
				}
				t.Run(strings.TrimPrefix(g.name, area+"/"), func(t *testing.T) {
					t.Parallel()
					tried.Add(1)
					said, err := b.notices(t, &g)
					if err != nil {
						t.Error(err)
						return
					}
					noticed.Add(1)
					t.Logf("%s\n%s of %s: %s", g.protects, g.test, g.testPkg(), said)
				})
			}
		})
	}
}

// TestTable checks the table without running any of it: that each piece is still in
// its file, that the file has the right types without it, and that the test is there.
// So whoever moves a guard moves its entry.
func TestTable(t *testing.T) {
	guards := table()
	files, err := switches(guards)
	if err != nil {
		t.Fatal(err)
	}
	check := newChecker(t, guards)
	for file, text := range files {
		if err := check.types(file, text); err != nil {
			t.Errorf("%s without one of its guards: %v", file, err)
		}
	}
	if err := check.types(guards[0].file, files[guards[0].file]+"\nvar broken int = \"\"\n"); err == nil {
		t.Error("a file that doesn't compile passes")
	}
	names := map[string]bool{}
	for i := range guards {
		g := &guards[i]
		if err := check.hasTest(g); err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
		if names[g.name] || !strings.HasSuffix(g.protects, ".") || !strings.Contains(g.name, "/") {
			t.Errorf("%s: it wants a name of its own in an area, and a sentence: %q", g.name, g.protects)
		}
		names[g.name] = true
	}
	t.Logf("%d guards in %d files", len(guards), len(files))
}

// TestRunnerCanFail shows that the runner tells a guard that is noticed from one
// that isn't, and a table that is right from one that isn't.
func TestRunnerCanFail(t *testing.T) {
	unnoticed := guard{
		name: "x/unnoticed", protects: "Nothing.", file: "discord/closecode.go", test: "TestVerdicts",
		cut: "case VerdictFatal:\n\t\treturn \"fatal\"", with: "case VerdictFatal:\n\t\treturn \"dead\"",
	}
	panics := unnoticed
	panics.name = "x/panics"
	panics.cut, panics.with = "switch c {\n\tcase CloseAuthenticationFailed", "switch c {\n\tcase 1000:\n\t\tpanic(c)\n\tcase CloseAuthenticationFailed"
	missing := unnoticed
	missing.name, missing.test = "x/missing", "TestNothing"
	b, err := buildTests(t, []guard{unnoticed, panics, missing})
	if err != nil {
		t.Fatal(err)
	}
	for g, want := range map[*guard]string{&unnoticed: "nobody notices", &panics: "crashed", &missing: "doesn't pass"} {
		if _, err := b.notices(t, g); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", g.name, err, want)
		}
	}
	unnoticed.cut = "no such piece"
	if _, err := switches([]guard{unnoticed}); err == nil || !strings.Contains(err.Error(), "not once") {
		t.Errorf("a piece that isn't there: %v", err)
	}
}
