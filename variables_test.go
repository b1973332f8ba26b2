package handover

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestVariableTableIsCurrent(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	config := reflect.ValueOf(defaults(t))
	var b strings.Builder
	b.WriteString("| variable | Config | default | meaning |\n|---|---|---|---|\n")
	for _, v := range variables(file) {
		value := ""
		switch d := config.FieldByName(v.field).Interface().(type) {
		case time.Duration:
			value = short(d)
		case int:
			value = strconv.Itoa(d)
		case float64:
			value = strconv.FormatFloat(d, 'g', -1, 64)
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", v.name, v.field, value, meaning(file, v.field))
	}
	current(t, "README.md", "variables", b.String())
}

type variable struct{ name, field string }

// variables finds where withDefaults fills a field from a variable: calls with &c.Field and the variable's name.
func variables(file *ast.File) (all []variable) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		var v variable
		for _, arg := range call.Args {
			switch arg := arg.(type) {
			case *ast.UnaryExpr:
				if field, ok := arg.X.(*ast.SelectorExpr); ok && arg.Op == token.AND {
					v.field = field.Sel.Name
				}
			case *ast.BasicLit:
				if s, err := strconv.Unquote(arg.Value); err == nil && strings.HasPrefix(s, "HANDOVER_") {
					v.name = s
				}
			}
		}
		if v.field != "" && v.name != "" {
			all = append(all, v)
		}
		return true
	})
	return all
}

// meaning is the first sentence of a field's comment in Config, without the field's name at its head.
func meaning(file *ast.File, name string) (sentence string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok && sentence == "" && len(field.Names) == 1 && field.Names[0].Name == name {
			sentence, _, _ = strings.Cut(strings.Join(strings.Fields(field.Doc.Text()), " "), ". ")
		}
		return true
	})
	for _, verb := range []string{"bounds", "holds"} {
		if rest, ok := strings.CutPrefix(sentence, name+" "+verb); ok {
			sentence = verb + rest
		}
	}
	return strings.TrimSuffix(strings.TrimPrefix(sentence, name+" is "), ".")
}
