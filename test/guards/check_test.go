package guards

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// listed is a package as `go list -json` tells of it.
type listed struct {
	Dir, ImportPath, Export string
	GoFiles                 []string
	TestGoFiles             []string
	XTestGoFiles            []string
}

// checker checks files by the types of all that they import, which the go command
// has compiled for the build anyway.
type checker struct {
	fset    *token.FileSet
	byDir   map[string]*listed
	outline map[string]*ast.File // files without the bodies of their functions
	imports types.Importer
}

// newChecker loads the packages of a table.
func newChecker(t *testing.T, guards []guard) *checker {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=Dir,ImportPath,Export,GoFiles,TestGoFiles,XTestGoFiles"}
	seen := map[string]bool{}
	for i := range guards {
		for _, dir := range []string{filepath.Dir(guards[i].file), guards[i].testPkg()} {
			if !seen[dir] {
				seen[dir] = true
				args = append(args, "./"+dir)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	c := &checker{fset: token.NewFileSet(), byDir: map[string]*listed{}, outline: map[string]*ast.File{}}
	exports := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		p := new(listed)
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		c.byDir[p.Dir], exports[p.ImportPath] = p, p.Export
	}
	c.imports = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return c
}

// pkg returns the package in a folder.
func (c *checker) pkg(dir string) (*listed, error) {
	at, err := filepath.Abs(filepath.Join(root, dir))
	if err != nil {
		return nil, err
	}
	if p := c.byDir[at]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no package is in %s", dir)
}

// declared returns what a file declares. Its functions have no bodies: those of the
// tree are known to be good.
func (c *checker) declared(path string) (*ast.File, error) {
	if f := c.outline[path]; f != nil {
		return f, nil
	}
	f, err := parser.ParseFile(c.fset, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			fn.Body = nil
		}
	}
	c.outline[path] = f
	return f, nil
}

// types checks a file's package with another text in the file's place. What is
// wrong with other files, such as imports that only bodies use, isn't asked.
func (c *checker) types(file, text string) error {
	p, err := c.pkg(filepath.Dir(file))
	if err != nil {
		return err
	}
	name := "without the guard: " + file
	changed, err := parser.ParseFile(c.fset, name, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	aside, err := parser.ParseFile(c.fset, "", fmt.Sprintf(switchText, changed.Name.Name), parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	files := []*ast.File{changed, aside}
	for _, other := range p.GoFiles {
		if other == filepath.Base(file) {
			continue
		}
		f, err := c.declared(filepath.Join(p.Dir, other))
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	var wrong []error
	conf := types.Config{Importer: c.imports, Error: func(err error) {
		if e, ok := errors.AsType[types.Error](err); ok && c.fset.Position(e.Pos).Filename == name {
			wrong = append(wrong, err)
		}
	}}
	_, _ = conf.Check(p.ImportPath, c.fset, files, nil) // its errors have been looked at
	return errors.Join(wrong...)
}

// hasTest looks for the function of a guard's test.
func (c *checker) hasTest(g *guard) error {
	p, err := c.pkg(g.testPkg())
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(g.test, "/")
	want := []byte("\nfunc " + name + "(t *testing.T) {")
	for _, file := range append(p.TestGoFiles, p.XTestGoFiles...) {
		b, err := os.ReadFile(filepath.Join(p.Dir, file))
		if err != nil {
			return err
		}
		if bytes.Contains(b, want) {
			return nil
		}
	}
	return fmt.Errorf("no test %s is in %s", name, g.testPkg())
}
