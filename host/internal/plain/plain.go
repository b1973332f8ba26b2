// Package plain makes text that a stranger may have chosen fit for a terminal.
package plain

import "strings"

// Line is a text on one line that cannot steer a terminal: control characters are spaces.
func Line(s string) string { return strings.Map(printable, s) }

func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 { // C0, DEL, C1
		return ' '
	}
	return r
}
