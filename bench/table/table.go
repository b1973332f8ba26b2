// Package table writes tables in Markdown, into a file that says more than the tables.
package table

import (
	"fmt"
	"os"
	"strings"
	"unicode/utf8"
)

// Table has as many cells in each row as columns; what is missing is empty.
type Table struct {
	Columns []string
	Rows    [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// String is the table in Markdown, aligned to be read as it is.
func (t *Table) String() string {
	widths := make([]int, len(t.Columns))
	for _, row := range append([][]string{t.Columns}, t.Rows...) {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell(row, i)))
		}
	}
	var b strings.Builder
	line := func(text func(i int) string) {
		for i, width := range widths {
			fmt.Fprintf(&b, "| %-*s ", width, text(i))
		}
		b.WriteString("|\n")
	}
	line(func(i int) string { return cell(t.Columns, i) })
	line(func(i int) string { return strings.Repeat("-", widths[i]) })
	for _, row := range t.Rows {
		line(func(i int) string { return cell(row, i) })
	}
	return b.String()
}

// cell escapes what would end it.
func cell(row []string, i int) string {
	if i >= len(row) {
		return ""
	}
	return strings.ReplaceAll(row[i], "|", `\|`)
}

// The lines between which a file has what is generated.
const (
	begin = "<!-- begin: written by make bench -->\n"
	end   = "<!-- end: written by make bench -->\n"
)

// WriteInto puts text at its place in the file at path, and leaves the rest as it is. A file that is missing is made.
func WriteInto(path, text string) error {
	old, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		old = []byte(begin + end)
	} else if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return fmt.Errorf("write into %s: it has no lines %q and %q", path, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(path, []byte(before+begin+"\n"+text+"\n"+end+after), 0o644)
}
