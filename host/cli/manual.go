package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"
)

// Manual writes handover(1) in the macros of man(7): what the commands say of themselves by --help. An error of w is for w to keep, as bufio.Writer does.
func Manual(w io.Writer) {
	root := (&app{}).root()
	fmt.Fprintf(w, ".TH HANDOVER 1 \"\" handover \"User Commands\"\n.nh\n.SH NAME\nhandover \\- %s\n", roff(root.Usage))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B handover\n[OPTION]... COMMAND [ARGUMENT]...\n.SH DESCRIPTION\n%s", paragraphs(root.Description))
	manualFlags(w, ".SH OPTIONS\n", root)
	fmt.Fprint(w, ".SH COMMANDS\n")
	for _, c := range root.Commands {
		manualCommand(w, root.Name, c)
	}
}

// manualCommand is a command, and those below it.
func manualCommand(w io.Writer, above string, c *cli.Command) {
	if c.Hidden {
		return
	}
	name := above + " " + c.Name
	fmt.Fprintf(w, ".SS %s\n%s.\n", quoted(strings.TrimSpace(name+" "+c.ArgsUsage)), roff(c.Usage))
	if c.Description != "" {
		fmt.Fprintf(w, ".PP\n%s", paragraphs(c.Description))
	}
	manualFlags(w, "", c)
	for _, below := range c.Commands {
		manualCommand(w, name, below)
	}
}

// manualFlags are the options that a command has of its own.
func manualFlags(w io.Writer, heading string, c *cli.Command) {
	for _, f := range c.VisibleFlags() {
		d, ok := f.(cli.DocGenerationFlag)
		if !ok || f == cli.HelpFlag {
			continue
		}
		fmt.Fprint(w, heading)
		heading = ""
		var names []string
		for _, name := range f.Names() {
			names = append(names, `\fB`+roff(strings.Repeat("-", min(len(name), 2))+name)+`\fR`)
		}
		value := ""
		if d.TakesValue() {
			value = d.TypeName()
			if parts := strings.SplitN(d.GetUsage(), "`", 3); len(parts) == 3 { // as --help has it
				value = parts[1]
			}
			value = ` \fI` + roff(strings.ToUpper(value)) + `\fR`
		}
		fmt.Fprintf(w, ".TP\n%s%s\n%s.", strings.Join(names, ", "), value, roff(strings.ReplaceAll(d.GetUsage(), "`", "")))
		if text := d.GetDefaultText(); text != "" && text != `""` && d.IsDefaultVisible() && d.TakesValue() {
			fmt.Fprintf(w, " Default: %s.", roff(text))
		}
		if variables := d.GetEnvVars(); len(variables) > 0 {
			fmt.Fprintf(w, " Variable: %s.", roff(strings.Join(variables, ", ")))
		}
		fmt.Fprintln(w)
	}
}

// paragraphs is text whose empty lines part paragraphs, and whose lines stay lines.
func paragraphs(text string) string {
	var b strings.Builder
	for i, p := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		for j, line := range strings.Split(p, "\n") {
			if j > 0 {
				b.WriteString(".br\n")
			}
			b.WriteString(roff(strings.TrimSpace(line)) + "\n")
		}
	}
	return b.String()
}

// roff is text that troff takes for nothing else: no escape, no request at the beginning of a line, and a hyphen that can be searched for.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// quoted is one argument of a macro.
func quoted(text string) string { return `"` + strings.ReplaceAll(roff(text), `"`, `\(dq`) + `"` }
