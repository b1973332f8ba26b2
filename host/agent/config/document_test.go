package config

import (
	"encoding"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/doctest"
)

const page = "../../../docs/agent-configuration.md"

// TestCurrentReferenceInTheDocument takes the table from what the fields say of themselves.
func TestCurrentReferenceInTheDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("| field | what it is | kind | a change needs |\n|---|---|---|---|\n")
	for _, r := range rows(t) {
		needs := string(ofTag[r.needs])
		if r.needs == "identity" {
			needs = "another service"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.field, strings.ReplaceAll(r.doc, "|", `\|`), r.kind, needs)
	}
	doctest.Current(t, "./host/agent/config", page, "reference", b.String())
}

func TestEveryFieldIsDocumentedWithItsDefault(t *testing.T) {
	for _, r := range rows(t) {
		if r.doc == "" {
			t.Errorf("%s has no comment", r.field)
		}
		if r.def != "" && !strings.Contains(r.doc, "Default "+r.def) {
			t.Errorf("%s: its default is %s, its comment says %q", r.field, r.def, r.doc)
		}
	}
}

// The example is what a package installs: it is taken as it stands, on a host that has what it speaks of.
func TestExampleIsTaken(t *testing.T) {
	dir := world(t)
	text := readFile(t, "../../../deploy/agent.yaml")
	for _, there := range []string{"/etc/handover/keys/shop.pub", "/etc/handover/hook-secret", "/usr/local/bin/ask-the-calendar", "/usr/local/bin/legacy"} {
		if !strings.Contains(text, there) {
			t.Errorf("the example does not speak of %s", there)
		}
		text = strings.ReplaceAll(text, there, filepath.Join(dir, map[string]string{"shop.pub": "key.pub", "hook-secret": "secret"}[filepath.Base(there)]))
	}
	text = strings.NewReplacer(dir+"\n", dir+"/server\n", dir+"]", dir+"/server]", dir+",", dir+"/server,").Replace(text)
	c, err := Parse("agent.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Services) < 2 {
		t.Errorf("it has %d services", len(c.Services))
	}
}

// row is one field as the document has it.
type row struct{ field, doc, kind, def, needs string }

func rows(t *testing.T) []row {
	t.Helper()
	return rowsOf(reflect.TypeFor[Config](), "", "", comments(t))
}

func rowsOf(in reflect.Type, field, needs string, docs map[string]string) (all []row) {
	structName, _, _ := strings.Cut(in.Name(), "[")
	for i := range in.NumField() {
		f := in.Field(i)
		one := row{field: join(field, f.Tag.Get("yaml")), doc: asWritten(docs[structName+"."+f.Name], in), def: f.Tag.Get("default"), needs: f.Tag.Get("needs")}
		if one.needs == "" {
			one.needs = needs
		}
		inner := f.Type
		if inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct && !isText(inner) {
			inner, one.field = inner.Elem(), one.field+"[]"
		}
		if inner.Kind() == reflect.Struct && !isText(inner) {
			for _, part := range rowsOf(inner, one.field, one.needs, docs) {
				if strings.HasPrefix(inner.Name(), "Ceiling") { // what is counted, and how, is said of the whole
					part.doc = one.doc + " This " + part.doc
				}
				all = append(all, part)
			}
			continue
		}
		one.kind = kind(f.Type)
		all = append(all, one)
	}
	return all
}

var fieldName = regexp.MustCompile(`[A-Z]\w+(\.[A-Z]\w+)?`)

// asWritten names other fields as the file does.
func asWritten(doc string, in reflect.Type) string {
	return fieldName.ReplaceAllStringFunc(doc, func(name string) string {
		outer, inner, _ := strings.Cut(name, ".")
		f, ok := in.FieldByName(outer)
		if !ok {
			return name
		}
		key := f.Tag.Get("yaml")
		if inner != "" {
			part, _ := f.Type.FieldByName(inner)
			key = join(key, part.Tag.Get("yaml"))
		}
		return "`" + key + "`"
	})
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func kind(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[Size]():
		return "size"
	case t == reflect.TypeFor[Limits]():
		return "mapping of limits"
	case isText(t), t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Slice:
		return "list of " + kind(t.Elem())
	case t.Kind() == reflect.Map:
		return "mapping of text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "number"
}

// comments reads what the package says above each field, as STRUCT.FIELD.
func comments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						text, _ := strings.CutPrefix(strings.Join(strings.Fields(f.Doc.Text()), " "), name.Name+" ")
						said[spec.Name.Name+"."+name.Name] = text
					}
				}
			}
			return true
		})
	}
	return said
}
