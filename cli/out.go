package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// style colours texts, or leaves them plain.
type style struct{ on bool }

// newStyle colours only what a person looks at: a terminal, without NO_COLOR.
func newStyle(w io.Writer, lookup func(string) (string, bool)) style {
	if v, ok := lookup("NO_COLOR"); ok && v != "" {
		return style{}
	}
	if v, _ := lookup("TERM"); v == "dumb" {
		return style{}
	}
	return style{on: isTerminal(w)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (s style) paint(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(t string) string   { return s.paint("1", t) }
func (s style) dim(t string) string    { return s.paint("2", t) }
func (s style) green(t string) string  { return s.paint("32", t) }
func (s style) yellow(t string) string { return s.paint("33", t) }
func (s style) red(t string) string    { return s.paint("31", t) }

// grade colours a word by how good it is.
func (s style) grade(word string) string {
	switch word {
	case "ok", "ready", "alive", "leader":
		return s.green(word)
	case "degraded", "suspect", "moving", "resuming", "connecting", "joining", "idle", "nonvoter", "candidate":
		return s.yellow(word)
	case "down", "dead", "left", "unassigned", "unknown":
		return s.red(word)
	}
	return word
}

// table is rows of aligned columns. Cells may be coloured.
type table struct {
	s     style
	right map[int]bool // columns of numbers
	rows  [][]string
}

// newTable begins a table; a heading that starts with ">" is aligned right.
func newTable(s style, headings ...string) *table {
	t := &table{s: s, right: make(map[int]bool)}
	row := make([]string, len(headings))
	for i, h := range headings {
		name, right := strings.CutPrefix(h, ">")
		t.right[i] = right
		row[i] = s.dim(name)
	}
	t.rows = append(t.rows, row)
	return t
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// String lays the table out, two blanks between columns.
func (t *table) String() string { return t.indent("") }

func (t *table) indent(prefix string) string {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, c := range row {
			widths[i] = max(widths[i], width(c))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, c := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-width(c))
			if t.right[i] {
				line.WriteString(pad + c)
			} else {
				line.WriteString(c + pad)
			}
		}
		b.WriteString(prefix + strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// width counts the characters that are seen.
func width(s string) int {
	n := 0
	for s != "" {
		if rest, ok := strings.CutPrefix(s, "\x1b["); ok {
			if _, after, ok := strings.Cut(rest, "m"); ok {
				s = after
				continue
			}
		}
		_, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		n++
	}
	return n
}

// printJSON prints v for programs.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// bytesText writes a size for people.
func bytesText(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10) + " B"
	}
	v, unit := float64(n)/1024, 0
	for v >= 1024 && unit < 3 {
		v, unit = v/1024, unit+1
	}
	if v < 10 {
		return fmt.Sprintf("%.1f %ciB", v, "KMGT"[unit])
	}
	return fmt.Sprintf("%.0f %ciB", v, "KMGT"[unit])
}

// durationText writes a length of time for people, in its two largest units.
func durationText(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
