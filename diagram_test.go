package handover

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestArchitectureDiagramsAreCurrent(t *testing.T) {
	const page = "docs/architecture.md"
	current(t, page, "successorLife", diagram(successorLife, joining, starting))
	current(t, page, "incumbentLife", diagram(incumbentLife, serving))
	current(t, page, "states", stateTable(t))
}

// diagram is a lifecycle in mermaid's words: an arrow is "event, event / action, action", and where the same two states have
// several, one arrow has them all.
func diagram(life []transition, first ...state) string {
	type arrow struct{ from, to state }
	var order []arrow
	labels := map[arrow][]label{}
	for _, t := range life {
		a := arrow{t.from, t.to}
		if labels[a] == nil {
			order = append(order, a)
		}
		labels[a] = add(labels[a], t)
	}
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	for _, s := range first {
		fmt.Fprintf(&b, "    [*] --> %s\n", s)
	}
	ends := false
	for _, a := range order {
		lines := make([]string, 0, len(labels[a]))
		for _, l := range labels[a] {
			lines = append(lines, l.String())
		}
		fmt.Fprintf(&b, "    %s --> %s: %s\n", a.from, a.to, strings.Join(lines, "<br/>"))
		ends = ends || a.to == gone
	}
	if ends {
		fmt.Fprintf(&b, "    %s --> [*]\n", gone)
	}
	b.WriteString("```\n")
	return b.String()
}

// label is one line at an arrow: the events that have the same actions.
type label struct {
	on []event
	do []action
}

func add(labels []label, t transition) []label {
	for i, l := range labels {
		if reflect.DeepEqual(l.do, t.do) {
			labels[i].on = append(l.on, t.on)
			return labels
		}
	}
	return append(labels, label{[]event{t.on}, t.do})
}

func (l label) String() string {
	if len(l.do) == 0 {
		return list(l.on)
	}
	return list(l.on) + " / " + list(l.do)
}

func list[T fmt.Stringer](all []T) string {
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = one.String()
	}
	return strings.Join(names, ", ")
}

// stateTable says of each state what it is, how long it may last, and what becomes of it then.
func stateTable(t *testing.T) string {
	meanings, config := stateComments(t), defaults(t)
	var b strings.Builder
	b.WriteString("| state | what it is | bound, by default | past it |\n|---|---|---|---|\n")
	for s := range state(states) {
		bound, past := "", ""
		if d, _ := config.deadline(s); d > 0 {
			bound = fmt.Sprintf("%s = %s", terms(s), short(d))
			if terms(s) == short(d) {
				bound = short(d)
			}
			if row, ok := next(s, onDeadline); ok {
				past = strings.TrimSuffix(fmt.Sprintf("%s / %s", row.to, list(row.do)), " / ")
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s, meanings[s.String()], bound, past)
	}
	return b.String()
}

// terms is what the deadline of a state is made of: fields of Config, and a constant.
func terms(s state) string {
	var sum []string
	base, goesOn := (&Config{}).deadline(s)
	for field := range reflect.TypeFor[Config]().Fields() {
		if field.Type != reflect.TypeFor[time.Duration]() {
			continue
		}
		var c Config
		reflect.ValueOf(&c).Elem().FieldByIndex(field.Index).SetInt(int64(time.Hour))
		if d, _ := c.deadline(s); d != base {
			sum = append(sum, field.Name)
		}
	}
	if base > 0 {
		sum = append(sum, short(base))
	}
	text := strings.Join(sum, " + ")
	if goesOn {
		text = "what is left of " + text
	}
	return text
}

// stateComments reads what lifecycle.go says beside each state, or else above it.
func stateComments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "lifecycle.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == 1 {
			comment := spec.Comment
			if comment == nil {
				comment = spec.Doc
			}
			comments[spec.Names[0].Name] = strings.Join(strings.Fields(comment.Text()), " ")
		}
		return true
	})
	return comments
}
