package cli

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// TestManualTellsOfEveryCommandAndOption, and no line of it is taken by troff for what it is not.
func TestManualTellsOfEveryCommandAndOption(t *testing.T) {
	var b strings.Builder
	Manual(&b)
	text := b.String()
	var look func(above string, c *cli.Command)
	look = func(above string, c *cli.Command) {
		name := strings.TrimSpace(above + " " + c.Name)
		if above != "" && !strings.Contains(text, ".SS "+strings.TrimSuffix(quoted(name), `"`)) {
			t.Errorf("nothing of %s", name)
		}
		for _, f := range c.VisibleFlags() {
			if f != cli.HelpFlag && !strings.Contains(text, roff("--"+f.Names()[0])) {
				t.Errorf("nothing of %s --%s", name, f.Names()[0])
			}
		}
		for _, below := range c.Commands {
			look(name, below)
		}
	}
	look("", (&app{}).root())
	known := []string{".TH ", ".nh", ".SH ", ".SS ", ".TP", ".PP", ".br", ".B "}
	for line := range strings.Lines(text) {
		request := strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'")
		for _, k := range known {
			request = request && !strings.HasPrefix(line, k)
		}
		if request || strings.Trim(line, " \n") == "" {
			t.Errorf("%q", line)
		}
	}
}
