package guards

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// switchVar is the variable of the environment that names the guard which is out.
const switchVar = "BOTNODE_GUARD_OUT"

// switchFile is beside each file that has guards, and reads it.
const switchFile = "guard_out_of_tests.go"

const switchText = `package %s

import "os"

var guardOut = os.Getenv("` + switchVar + `")
`

// edit is text that goes into a file.
type edit struct {
	at   int
	text string
}

// switches returns the guards' files such that one guard can be out at a time, by
// switchVar: one build serves for all. A function that has a guard begins with what
// it does without it:
//
//	func (o *Owner) speak() bool {
//		if guardOut == "freshness/speak" {
//			... the body, with the guard's piece replaced
//		}
//		... the body
//	}
func switches(guards []guard) (map[string]string, error) {
	edits := map[string][]edit{}
	text := map[string]string{}
	for i := range guards {
		g := &guards[i]
		if _, ok := text[g.file]; !ok {
			b, err := os.ReadFile(filepath.Join(root, g.file))
			if err != nil {
				return nil, err
			}
			text[g.file] = string(b)
		}
		e, err := g.switched(text[g.file])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		edits[g.file] = append(edits[g.file], e)
	}
	for file, all := range edits {
		slices.SortStableFunc(all, func(a, b edit) int { return cmp.Compare(b.at, a.at) })
		for _, e := range all {
			text[file] = text[file][:e.at] + e.text + text[file][e.at:]
		}
	}
	return text, nil
}

// switched returns what goes into the guard's file.
func (g *guard) switched(text string) (edit, error) {
	if n := strings.Count(text, g.cut); n != 1 || g.cut == g.with {
		return edit{}, fmt.Errorf("%s has this piece %d times, not once:\n%s", g.file, n, g.cut)
	}
	at := strings.Index(text, g.cut)
	begin, end, brace, err := funcAround(text, at, at+len(g.cut))
	if err != nil {
		return edit{}, err
	}
	without := "package p\n" + text[begin:at] + g.with + text[at+len(g.cut):end]
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, g.file+" without "+g.name, without, parser.SkipObjectResolution)
	if err != nil {
		return edit{}, err
	}
	fn, ok := f.Decls[0].(*ast.FuncDecl)
	if !ok || len(f.Decls) != 1 {
		return edit{}, errors.New("what is left isn't the function")
	}
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	body := without[offset(fn.Body.Lbrace):offset(fn.Body.Rbrace)]
	if fn.Type.Results == nil {
		body += "\nreturn\n"
	}
	return edit{brace + 1, fmt.Sprintf("\nif guardOut == %q %s}\n", g.name, body)}, nil
}

// funcAround returns where the function begins and ends that a piece of a text is
// in, and where its body does.
func funcAround(text string, from, to int) (begin, end, brace int, err error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", text, parser.SkipObjectResolution)
	if err != nil {
		return 0, 0, 0, err
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		begin, end = fset.Position(fn.Type.Func).Offset, fset.Position(fn.End()).Offset
		if begin <= from && to <= end {
			return begin, end, fset.Position(fn.Body.Lbrace).Offset, nil
		}
	}
	return 0, 0, 0, errors.New("the piece isn't in one function")
}

// packageOf returns the name of a file's package.
func packageOf(text string) (string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), "", text, parser.PackageClauseOnly)
	if err != nil {
		return "", err
	}
	return f.Name.Name, nil
}
