package layout

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines bounds a file: beyond it, it is two.
const maxLines = 500

// mayInit lists the files that may have an init function. There are none.
var mayInit = []string{}

// rule is a text that no source may have.
type rule struct {
	name string
	re   *regexp.Regexp
	ok   []string // files that may, with the reason at the call
}

var rules = []rule{
	{"an init function", regexp.MustCompile(`(?m)^func init\(`), mayInit},
	{"zap's global logger", regexp.MustCompile(`\bzap\.(L|S|ReplaceGlobals)\(`), nil},
	{"log.Fatal", regexp.MustCompile(`\blog\.(Fatal|Panic)(f|ln)?\(`), nil},
	{"slog", regexp.MustCompile(`(?m)^\s*(\w+ )?"log/slog"$`), nil},
}

// broken returns the rules that a text breaks.
func broken(path, text string) []string {
	var names []string
	for _, r := range rules {
		if !slices.Contains(r.ok, path) && r.re.MatchString(text) {
			names = append(names, r.name)
		}
	}
	if n := strings.Count(text, "\n"); n > maxLines {
		names = append(names, "too many lines")
	}
	return names
}

// TestRulesCanBreak shows that each rule can say no.
func TestRulesCanBreak(t *testing.T) {
	for _, text := range []string{
		"package x\n\nfunc init() {}\n", "zap.L().Info()", "\tlog.Fatalf(\"x\")", "import (\n\t\"log/slog\"\n)",
		strings.Repeat("\n", maxLines+1),
	} {
		if len(broken("x.go", text)) != 1 {
			t.Errorf("%.40q breaks %v, want one rule", text, broken("x.go", text))
		}
	}
	if got := broken("x.go", "package x\n\nfunc initialize() {}\n// zap.Logger\n"); got != nil {
		t.Errorf("good text breaks %v", got)
	}
}

// TestStyle checks every source but those of tests.
func TestStyle(t *testing.T) {
	for _, f := range sources(t) {
		for _, name := range broken(f.path, f.text) {
			t.Errorf("%s: %s", f.path, name)
		}
	}
}
