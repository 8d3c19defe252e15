package botnode_test

import (
	"encoding/json"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The program in README.md compiles as it stands there, and the test below it
// passes: both are laid over a folder of this module that doesn't exist.
func TestProgramInREADME(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := goBlocks(string(text))
	if len(blocks) != 2 {
		t.Fatalf("README.md has %d blocks of Go, want a program and its test", len(blocks))
	}
	for i, block := range blocks {
		if formatted, err := format.Source([]byte(block)); err != nil || string(formatted) != block {
			t.Errorf("block %d isn't formatted: %v\n%s", i, err, formatted)
		}
	}
	const head = "package main\n\nimport (\n\"testing\"\n\n\"github.com/botnode/botnode/botnodetest\"\n)\n"
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir, replace := t.TempDir(), map[string]string{}
	for name, content := range map[string]string{"main.go": blocks[0], "main_test.go": head + blocks[1]} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, "examples", "readme", name)] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	// Without vet, which can't read what is laid over.
	program := filepath.Join(dir, "readme.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-o", program, "-overlay", list, "./examples/readme")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program, "-test.v").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: ") {
		t.Errorf("the test in README.md: %v\n%s", err, out)
	}
}

// goBlocks returns the blocks of Go in a text of Markdown.
func goBlocks(text string) (blocks []string) {
	for _, part := range strings.Split(text, "\n```go\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```\n")
		blocks = append(blocks, block+"\n")
	}
	return blocks
}
