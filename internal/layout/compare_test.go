package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// comparison is the page that sets botnode beside nostrum.
const comparison = "docs/compare-nostrum.md"

// compared is what that page must speak of: every cache and store of nostrum, and
// every option of its shards.
var compared = []string{
	"Nostrum.Cache.GuildCache", "Nostrum.Cache.ChannelCache", "Nostrum.Cache.DMChannelCache", "Nostrum.Cache.ChannelGuildMapping",
	"Nostrum.Cache.MemberCache", "Nostrum.Cache.MessageCache", "Nostrum.Cache.PresenceCache", "Nostrum.Cache.UserCache", "Nostrum.Cache.Me",
	"Nostrum.Store.GuildShardMapping", "Nostrum.Store.UnavailableGuild", "Nostrum.Store.RatelimitBucket", "RatelimiterGroup",
	"`shards: :auto`", "`shards: N`", "`shards: {lowest, highest, total}`", "`shards: :manual`", "ETS", "Mnesia", "NoOp", "QLC",
	"## What nostrum has and botnode hasn't",
}

var testRef = regexp.MustCompile(`^([\w/]+_test\.go):(Test\w+)$`)

// unshown returns what is wrong with the rows of a page's tables: each must name,
// in its last cell, tests that exist.
func unshown(root, page string) (wrong []string) {
	rows, files := 0, map[string][]string{}
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || line == "| feature | nostrum | botnode | test |" {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "|"), "|")
		refs := strings.Fields(cells[len(cells)-1])
		if len(cells) != 4 || len(refs) == 0 {
			wrong = append(wrong, fmt.Sprintf("a row of four cells that ends with a test is wanted: %s", line))
		}
		for _, ref := range refs {
			if err := isTest(root, ref, files); err != nil {
				wrong = append(wrong, fmt.Sprintf("%s: %v", strings.TrimSpace(cells[0]), err))
			}
		}
	}
	if rows == 0 {
		wrong = append(wrong, "the page has no rows")
	}
	return wrong
}

// isTest looks for a test that is named as file:Test. files remembers what is in
// those that have been read.
func isTest(root, ref string, files map[string][]string) error {
	m := testRef.FindStringSubmatch(ref)
	if m == nil {
		return fmt.Errorf("%q is not of the form path/file_test.go:TestName", ref)
	}
	if _, known := files[m[1]]; !known {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, filepath.FromSlash(m[1])), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files[m[1]] = []string{}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && takesT(fn) {
				files[m[1]] = append(files[m[1]], fn.Name.Name)
			}
		}
	}
	if !slices.Contains(files[m[1]], m[2]) {
		return fmt.Errorf("%s has no test %s", m[1], m[2])
	}
	return nil
}

// takesT reports whether a function's only parameter is a *testing.T.
func takesT(fn *ast.FuncDecl) bool {
	if fn.Type.Params.NumFields() != 1 {
		return false
	}
	star, ok := fn.Type.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	sel, ok := star.X.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "T"
}

// TestComparisonNamesTests holds the comparison with nostrum to what is tested.
func TestComparisonNamesTests(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, comparison))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range unshown(root, string(page)) {
		t.Errorf("%s: %s", comparison, w)
	}
	for _, name := range compared {
		if !strings.Contains(string(page), name) {
			t.Errorf("%s says nothing of %s", comparison, name)
		}
	}
}

// TestComparisonCanFail shows that each mistake in a row is noticed.
func TestComparisonCanFail(t *testing.T) {
	const here = "internal/layout/compare_test.go:"
	for row, wrong := range map[string]bool{
		"| a | b | c | " + here + "TestComparisonCanFail |":                             false,
		"| a | b | c | " + here + "TestComparisonCanFail " + here + "TestNobodyWrote |": true,
		"| a | b | c | |":                     true,
		"| a | b | " + here + "TestStyle |":   true,
		"| a | b | c | it is so |":            true,
		"| a | b | c | nowhere_test.go:TestX": true,
		"| a | b | c | " + here + "isTest |":  true,
		"no row":                              true,
	} {
		if got := unshown(filepath.Join("..", ".."), row); (len(got) > 0) != wrong {
			t.Errorf("%s: %q", row, got)
		}
	}
}
