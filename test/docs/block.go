// Package docs runs the commands that documents show, and holds documents to what they describe.
package docs

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// Block is a fenced block of a document.
type Block struct {
	Line     int    // of its first line
	Language string // sh, say
	Needs    string // what the comment on the line above it names, as in <!-- systemd -->; empty: nothing
	Text     string
}

// Read returns the blocks of the document at path.
func Read(path string) ([]Block, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var all []Block
	var b *Block
	above, number := "", 0
	for lines := bufio.NewScanner(f); lines.Scan(); above = lines.Text() {
		number++
		line := lines.Text()
		fence, fenced := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fenced && b == nil:
			b = &Block{Line: number + 1, Language: fence, Needs: needs(above)}
		case fenced:
			all = append(all, *b)
			b = nil
		case b != nil:
			b.Text += line + "\n"
		}
	}
	if b != nil {
		return nil, fmt.Errorf("%s: the block at line %d has no end", path, b.Line)
	}
	return all, nil
}

func needs(comment string) string {
	name, begun := strings.CutPrefix(strings.TrimSpace(comment), "<!-- ")
	name, ended := strings.CutSuffix(name, " -->")
	if !begun || !ended || strings.ContainsAny(name, " :") {
		return ""
	}
	return name
}

// Commands returns the blocks of shell commands in the document at path that need what is named.
func Commands(path, needs string) ([]Block, error) {
	all, err := Read(path)
	var some []Block
	for _, b := range all {
		if b.Language == "sh" && b.Needs == needs {
			some = append(some, b)
		}
	}
	if err == nil && len(some) == 0 {
		err = fmt.Errorf("%s: no commands that need %q", path, needs)
	}
	return some, err
}

// Script has bash run the blocks one after the other, and say at which line of which document a command failed.
func Script(path string, blocks []Block) string {
	var s strings.Builder
	s.WriteString("set -Eeuo pipefail\n")
	for _, b := range blocks {
		// The trap's own line is the one above the block's first.
		fmt.Fprintf(&s, "trap 'echo \"%s:$((LINENO - '$LINENO' - 1 + %d)): $BASH_COMMAND: exit $?\" >&2' ERR\n%s", path, b.Line, b.Text)
	}
	return s.String()
}
