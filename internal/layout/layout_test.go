package layout

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path that the repository's packages begin with.
const module = "github.com/botnode/botnode"

// ranks orders the packages: one may import those of a lower rank. The longest
// matching folder counts, so discord/rest isn't discord's. Packages of one folder
// may import each other below it.
var ranks = map[string]int{
	"discord": 0, "internal": 0,
	"cache": 1, "transport": 1, "membership": 1, "trust": 1,
	"fsm": 2, "discord/gateway": 2, "discord/rest": 2,
	"consensus": 3,
	"shard":     4,
	"proxy":     5, "admin": 5,
	"node":        6,
	"cli":         7,
	".":           8,
	"botnodetest": 9, "disgobot": 9,
	"cmd": 10,
}

// unranked may import anything: tests over the whole, and tools beside it.
var unranked = []string{"test", "docs", "examples"}

// pure lists what the replicated state must not see: with a clock, randomness,
// the network or a log, two nodes that apply the same entries would differ.
var pure = []string{"time", "math/rand", "os", "net", "log", "go.uber.org/zap", "github.com/hashicorp"}

// closed packages import, of this module, nothing but what is listed here.
var closed = map[string][]string{
	"cache":          {"discord", "internal"},
	"fsm":            {"cache", "discord", "internal"},
	"discord/sim":    {"discord"},
	"cmd/discordsim": {"discord/sim"},
}

// notBySim is what the simulator must not share with the clients that it judges.
var notBySim = []string{"discord/gateway", "discord/rest"}

// forbidden returns why a package (folder) must not import a path, or "".
func forbidden(pkg, imported string) string {
	if isPure(pkg) {
		for _, p := range pure {
			if under(imported, p) {
				return "the replicated state imports no clock, randomness, log, network or raft"
			}
		}
	}
	if !under(imported, module) {
		return ""
	}
	target := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
	if target == "" {
		target = "."
	}
	from, to := folder(pkg), folder(target)
	allowed, isClosed := closedOf(pkg)
	switch {
	case inAny(pkg, unranked):
		return ""
	case isClosed && !inAny(target, append(slices.Clone(allowed), pkg)):
		return "it may import only " + strings.Join(allowed, ", ")
	case under(pkg, "discord/sim") && inAny(target, notBySim):
		return "the simulator shares no code with the clients that it judges"
	case inAny(target, unranked):
		return "only tests may import " + target
	case from == "":
		return "the folder has no rank; give it one"
	case to == "":
		return target + " has no rank; give it one"
	case from != to && ranks[to] >= ranks[from] && ranks[from]+ranks[to] > 0:
		return fmt.Sprintf("rank %d imports rank %d", ranks[from], ranks[to])
	}
	return ""
}

// isPure is true for the packages of the replicated state.
func isPure(pkg string) bool { return under(pkg, "fsm") || under(pkg, "cache") }

// closedOf returns what a closed package may import.
func closedOf(pkg string) ([]string, bool) {
	for root, allowed := range closed {
		if under(pkg, root) {
			return allowed, true
		}
	}
	return nil, false
}

// folder returns the ranked folder that a package belongs to.
func folder(pkg string) string {
	for dir := pkg; dir != "."; dir = path.Dir(dir) {
		if _, ok := ranks[dir]; ok {
			return dir
		}
	}
	if pkg == "." {
		return "."
	}
	return ""
}

// under is true if a path is a folder's or lies below it.
func under(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

// inAny is true if a path lies in one of the folders.
func inAny(p string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return under(p, f) })
}

// TestForbidden shows that the rule itself can say no.
func TestForbidden(t *testing.T) {
	for _, tt := range []struct {
		pkg, imported string
		want          bool
	}{
		{"fsm", module + "/cache", false},
		{"cache", module + "/fsm", true},
		{"fsm", "time", true},
		{"fsm/sub", "github.com/hashicorp/raft", true},
		{"cache", "net/http", true},
		{"cache", "strings", false},
		{"fsm", module + "/transport", true},
		{"fsm", module + "/discord/gateway", true},
		{"discord", module + "/internal/jsonscan", false},
		{"internal/x", module + "/discord", false},
		{"internal/x", module + "/cache", true},
		{"discord/rest", module + "/discord", false},
		{"discord/rest", module + "/discord/gateway", true},
		{"discord/gateway/codec", module + "/discord/gateway", false},
		{"discord/sim", module + "/discord", false},
		{"discord/sim", module + "/discord/sim/wire", false},
		{"discord/sim", module + "/discord/gateway", true},
		{"discord/sim", module + "/internal/jsonscan", true},
		{"cmd/discordsim", module + "/discord/sim", false},
		{"cmd/discordsim", module + "/node", true},
		{"transport", module + "/membership", true},
		{"shard", module + "/consensus", false},
		{"shard", module + "/proxy", true},
		{"node", module + "/proxy", false},
		{".", module + "/node", false},
		{"node", module, true},
		{"cmd/botnode", module, false},
		{"node", module + "/botnodetest", true},
		{".", module + "/botnodetest", true},
		{"botnodetest", module, false},
		{"botnodetest", module + "/node/lab", false},
		{"node", module + "/test/model", true},
		{"test/integration", module + "/node", false},
		{"newfolder", module + "/discord", true},
		{"shard", module + "/newfolder", true},
	} {
		if why := forbidden(tt.pkg, tt.imported); (why != "") != tt.want {
			t.Errorf("%s imports %s: %q", tt.pkg, tt.imported, why)
		}
	}
}

// TestImports checks every import of every package but those of tests.
func TestImports(t *testing.T) {
	for _, f := range sources(t) {
		for _, imp := range f.imports {
			if why := forbidden(f.pkg, imp); why != "" {
				t.Errorf("%s imports %s: %s", f.path, imp, why)
			}
		}
	}
}

// source is one Go file that isn't a test.
type source struct {
	path, pkg string // relative to the repository
	imports   []string
	text      string
	doc       bool // the file has a package comment
}

// sources reads every Go file of the module that isn't a test.
func sources(t *testing.T) []source {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var files []source
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(root, p, d)
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := read(root, p)
		if err == nil && f.pkg != "" {
			files = append(files, f)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 5 {
		t.Fatalf("only %d files found", len(files))
	}
	return files
}

// skipDir leaves out what the go tool leaves out, and other modules.
func skipDir(root, p string, d fs.DirEntry) error {
	name := d.Name()
	if p == root {
		return nil
	}
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || slices.Contains([]string{"testdata", "vendor", "node_modules", "bin"}, name) {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// read parses one file as far as its imports. A file outside every build is left out.
func read(root, p string) (source, error) {
	text, err := os.ReadFile(p)
	if err != nil {
		return source{}, err
	}
	rel, err := filepath.Rel(root, p)
	if err != nil {
		return source{}, err
	}
	ast, err := parser.ParseFile(token.NewFileSet(), p, text, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return source{}, err
	}
	if strings.HasPrefix(string(text), "//go:build ignore") {
		return source{}, nil
	}
	f := source{path: filepath.ToSlash(rel), text: string(text), doc: ast.Doc != nil && !isDirective(ast.Doc.Text())}
	f.pkg = path.Dir(f.path)
	for _, imp := range ast.Imports {
		name, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			return source{}, err
		}
		f.imports = append(f.imports, name)
	}
	return f, nil
}

// isDirective is true for a comment that holds nothing but directives.
func isDirective(doc string) bool { return strings.TrimSpace(doc) == "" }

// byPackage groups files.
func byPackage(files []source) map[string][]source {
	pkgs := map[string][]source{}
	for _, f := range files {
		pkgs[f.pkg] = append(pkgs[f.pkg], f)
	}
	return pkgs
}

// TestEveryPackageSaysWhatItIs wants a package comment, in one file.
func TestEveryPackageSaysWhatItIs(t *testing.T) {
	pkgs := byPackage(sources(t))
	for _, pkg := range slices.Sorted(maps.Keys(pkgs)) {
		n := 0
		for _, f := range pkgs[pkg] {
			if f.doc {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s has %d package comments, want 1", pkg, n)
		}
	}
}
