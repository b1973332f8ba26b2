package control

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/doctest"
)

// TestCurrentOpenAPI holds the document that is served to the table of routes and the types, with -update writes it.
func TestCurrentOpenAPI(t *testing.T) {
	g := generator{t: t, comments: comments(t), schemas: object{}}
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	must(t, e.Encode(g.document()))
	if bytes.Equal(want.Bytes(), openAPI) {
		return
	}
	if flag.Lookup("update").Value.String() != "true" {
		t.Fatal("openapi.json is not what the code says: go test ./host/control -run Current -update")
	}
	must(t, os.WriteFile("openapi.json", want.Bytes(), 0o644))
}

func TestCurrentRoutesInTheDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("| route | role | |\n|---|---|---|\n")
	for _, r := range routes {
		fmt.Fprintf(&b, "| `%s %s` | %s | %s |\n", r.method, strings.TrimPrefix(r.pattern, "/v1"), r.role, r.summary)
	}
	doctest.Current(t, "./host/control", "../../docs/control.md", "routes", b.String())
}

func TestCurrentCodesInTheDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("| code | status | means |\n|---|---|---|\n")
	for i, c := range classes {
		if i == 0 || classes[i-1].code != c.code {
			fmt.Fprintf(&b, "| `%s` | %d | %s |\n", c.code, c.status, c.is)
		}
	}
	doctest.Current(t, "./host/control", "../../docs/control.md", "codes", b.String())
}

// Each route, each parameter and each field that goes over the wire is in the document that is served.
func TestEveryRouteAndFieldIsInTheDocument(t *testing.T) {
	var served struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name string }
			Role       string `json:"x-role"`
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	must(t, json.Unmarshal(openAPI, &served))
	for _, r := range routes {
		o, ok := served.Paths[r.pattern][strings.ToLower(r.method)]
		if !ok || o.Role != r.role.String() || len(o.Parameters) < len(r.query) {
			t.Errorf("%s %s: %+v", r.method, r.pattern, o)
		}
	}
	for _, all := range []reflect.Type{
		reflect.TypeFor[Service](), reflect.TypeFor[Upgrade](), reflect.TypeFor[Plan](), reflect.TypeFor[Release](), reflect.TypeFor[AuditPage](),
		reflect.TypeFor[UpgradeRequest](), reflect.TypeFor[RollbackRequest](), reflect.TypeFor[Event](), reflect.TypeFor[Error](),
	} {
		for f := range fields(all) {
			if _, ok := served.Components.Schemas[all.Name()].Properties[f.key]; !ok {
				t.Errorf("%s.%s is not in the document", all.Name(), f.key)
			}
		}
	}
	for _, m := range regexp.MustCompile(`"#/components/schemas/(\w+)"`).FindAllSubmatch(openAPI, -1) {
		if _, ok := served.Components.Schemas[string(m[1])]; !ok {
			t.Errorf("there is no schema %s", m[1])
		}
	}
}

type object = map[string]any

// generator makes the document from the table and the types; the descriptions are their comments.
type generator struct {
	t        *testing.T
	comments map[string]string
	schemas  object
}

func (g generator) document() object {
	paths := object{}
	for _, r := range routes {
		methods, ok := paths[r.pattern].(object)
		if !ok {
			methods = object{}
			paths[r.pattern] = methods
		}
		methods[strings.ToLower(r.method)] = g.operation(r)
	}
	g.schema(reflect.TypeFor[Event]())
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "handover agent", "version": "1",
			"description": "The control API of the agent of a host. x-role is the least role that may use a route.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"paths": paths, "components": object{"schemas": g.schemas},
	}
}

func (g generator) operation(r route) object {
	o := object{"summary": r.summary, "operationId": identifier(r), "x-role": r.role.String()}
	var params []object
	for _, m := range regexp.MustCompile(`{(\w+)}`).FindAllStringSubmatch(r.pattern, -1) {
		kind := "string"
		if m[1] == "number" {
			kind = "integer"
		}
		params = append(params, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": kind}})
	}
	for _, p := range r.query {
		schema := object{"type": p.kind}
		if p.kind == "duration" {
			schema = object{"type": "string", "examples": []string{"30s"}}
		}
		params = append(params, object{"name": p.name, "in": "query", "description": p.is, "schema": schema})
	}
	if r.media == "text/event-stream" {
		params = append(params, object{"name": "Last-Event-ID", "in": "header", "schema": object{"type": "integer"}})
	}
	if params != nil {
		o["parameters"] = params
	}
	if r.request != reflect.TypeFor[none]() {
		o["requestBody"] = object{"content": object{"application/json": object{"schema": g.schema(r.request)}}}
	}
	good := object{"description": "done"}
	if media, _, _ := strings.Cut(r.media, ";"); media != "" {
		good["content"] = object{media: object{}}
	} else {
		good["content"] = object{"application/json": object{"schema": g.schema(r.response)}}
	}
	bad := object{"description": "what failed", "content": object{"application/json": object{"schema": g.schema(reflect.TypeFor[Error]())}}}
	responses := object{"200": good, "default": bad}
	if r.begins {
		begun := maps.Clone(good)
		begun["description"] = "begun"
		responses["202"] = begun
	}
	o["responses"] = responses
	return o
}

// identifier is such as postServicesUpgrade.
func identifier(r route) string {
	name := strings.ToLower(r.method)
	for part := range strings.SplitSeq(strings.TrimPrefix(r.pattern, "/v1/"), "/") {
		if part, _, _ = strings.Cut(part, "."); strings.HasPrefix(part, "{") {
			part = "by_" + strings.Trim(part, "{}")
		}
		for word := range strings.SplitSeq(part, "_") {
			name += strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return name
}

var (
	instant = reflect.TypeFor[time.Time]()
	numbers = map[reflect.Kind]string{
		reflect.Bool: "boolean", reflect.String: "string", reflect.Int: "integer", reflect.Int64: "integer", reflect.Uint64: "integer", reflect.Float64: "number",
	}
)

func (g generator) schema(of reflect.Type) object {
	switch {
	case of.Kind() == reflect.Pointer:
		return g.schema(of.Elem())
	case of == instant:
		return object{"type": "string", "format": "date-time"}
	case of.Kind() == reflect.Slice:
		return object{"type": "array", "items": g.schema(of.Elem())}
	case of.Kind() == reflect.Map:
		return object{"type": "object", "additionalProperties": g.schema(of.Elem())}
	case of.Kind() != reflect.Struct:
		kind, ok := numbers[of.Kind()]
		if !ok {
			g.t.Fatalf("%s has no schema", of)
		}
		return object{"type": kind}
	}
	ref := object{"$ref": "#/components/schemas/" + of.Name()}
	if _, ok := g.schemas[of.Name()]; ok {
		return ref
	}
	properties, required := object{}, []string{}
	s := object{"type": "object", "properties": properties}
	g.schemas[of.Name()] = s // before its fields: they may be of this type
	if text := g.comments[of.Name()]; text != "" {
		s["description"] = text
	}
	for f := range fields(of) {
		property := g.schema(f.of)
		if text := g.comments[of.Name()+"."+f.name]; text != "" {
			property["description"] = text
		}
		properties[f.key] = property
		if !f.optional {
			required = append(required, f.key)
		}
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return ref
}

type field struct {
	name, key string
	of        reflect.Type
	optional  bool
}

// fields yields those that have a key.
func fields(of reflect.Type) func(func(field) bool) {
	return func(yield func(field) bool) {
		for i := range of.NumField() {
			f := of.Field(i)
			key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if key != "-" && key != "" && !yield(field{f.Name, key, f.Type, options == "omitempty"}) {
				return
			}
		}
	}
}

// comments of types (Type) and fields (Type.Field), of this package and of audit.
func comments(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	files, err := filepath.Glob("*.go")
	must(t, err)
	more, err := filepath.Glob("../audit/*.go")
	must(t, err)
	for _, name := range append(files, more...) {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		must(t, err)
		for n := range ast.Preorder(f) {
			d, ok := n.(*ast.GenDecl)
			if !ok || d.Tok != token.TYPE {
				continue
			}
			spec := d.Specs[0].(*ast.TypeSpec)
			s, ok := spec.Type.(*ast.StructType)
			if !ok || !spec.Name.IsExported() {
				continue
			}
			all[spec.Name.Name] = text(d.Doc)
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					all[spec.Name.Name+"."+name.Name] = strings.TrimSpace(text(f.Doc) + " " + text(f.Comment))
				}
			}
		}
	}
	return all
}

func text(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

var described = sync.OnceValue(func() (doc object) {
	_ = json.Unmarshal(openAPI, &doc)
	return doc
})

// conforms says where an answer is not as the document has it.
func conforms(schema object, value any, at string) (faults []string) {
	if ref, ok := schema["$ref"].(string); ok {
		all := described()["components"].(object)["schemas"].(object)
		schema = all[strings.TrimPrefix(ref, "#/components/schemas/")].(object)
	}
	kind := map[string]bool{}
	switch v := value.(type) {
	case object:
		kind["object"] = true
		properties, _ := schema["properties"].(object)
		required, _ := schema["required"].([]any)
		for _, key := range required {
			if _, ok := v[key.(string)]; !ok {
				faults = append(faults, fmt.Sprintf("%s.%s is missing", at, key))
			}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			property, ok := properties[key].(object)
			if !ok {
				property, ok = schema["additionalProperties"].(object)
			}
			if !ok {
				faults = append(faults, at+"."+key+" is not described")
				continue
			}
			faults = append(faults, conforms(property, v[key], at+"."+key)...)
		}
	case []any:
		kind["array"] = true
		for i, item := range v {
			items, _ := schema["items"].(object)
			faults = append(faults, conforms(items, item, at+"["+strconv.Itoa(i)+"]")...)
		}
	case string:
		kind["string"] = true
	case bool:
		kind["boolean"] = true
	case float64:
		kind["number"], kind["integer"] = true, v == float64(int64(v))
	}
	if want, _ := schema["type"].(string); !kind[want] {
		faults = append(faults, fmt.Sprintf("%s is %T, not %s", at, value, want))
	}
	return faults
}
