package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// place is where a value was written: in a line of the file, or in an environment variable.
type place struct {
	line, column int
	variable     string
}

// tree reads a Config from the nodes of a file. It goes on after a fault, so that all of them are told at once, and remembers where each value
// stood, so that what is found out later can be told with its place too.
type tree struct {
	file    string
	at      map[string]place
	anchors map[string]ast.Node
	faults  Faults
}

func newTree(file string) *tree {
	return &tree{file: file, at: map[string]place{"": {line: 1, column: 1}}, anchors: map[string]ast.Node{}}
}

// fault tells of a value that was read from a field. Of each field only the first is told: others follow from it.
func (t *tree) fault(field, given, expected string) {
	if slices.ContainsFunc(t.faults, func(f Fault) bool { return f.Field == field }) {
		return
	}
	where := t.place(field)
	f := Fault{File: t.file, Line: where.line, Column: where.column, Field: field, Given: given, Expected: expected}
	if where.variable != "" {
		f.File, f.Line, f.Column = where.variable, 0, 0
	}
	t.faults = append(t.faults, f)
}

// place of a field; of one that is missing, that of the nearest field around it.
func (t *tree) place(field string) place {
	for {
		if p, ok := t.at[field]; ok {
			return p
		}
		field = around(field)
	}
}

// around is the field that a field is part of.
func around(field string) string {
	for i := len(field) - 1; i > 0; i-- {
		if field[i] == '.' || field[i] == '[' {
			return field[:i]
		}
	}
	return ""
}

// value reads a node into a value of ours.
func (t *tree) value(n ast.Node, into reflect.Value, field string) {
	if n = t.plain(n, field); n == nil {
		return
	}
	t.at[field] = placeOf(n)
	if _, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		t.scalar(n, into, field)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		if entries, ok := t.mapping(n, field, "a mapping"); ok {
			t.structure(entries, into, field)
		}
	case reflect.Map:
		if entries, ok := t.mapping(n, field, "a mapping of names to values"); ok {
			t.dictionary(entries, into, field)
		}
	case reflect.Slice:
		t.list(n, into, field)
	default:
		t.scalar(n, into, field)
	}
}

func (t *tree) structure(entries []*ast.MappingValueNode, into reflect.Value, field string) {
	known := fields(into.Type())
	for _, e := range entries {
		key := e.Key.GetToken().Value
		i, ok := known.index[key]
		if !ok {
			t.faultAt(e.Key, field, key, "unknown key: "+oneOf(key, known.names))
			continue
		}
		before := len(t.faults)
		inner := join(field, key)
		t.value(e.Value, into.Field(i), inner)
		if d := into.Type().Field(i).Tag.Get("default"); d != "" && into.Field(i).IsZero() && len(t.faults) == before {
			t.fault(inner, quote(e.Value), "give more than 0, or leave it out for "+d)
		}
	}
}

func (t *tree) dictionary(entries []*ast.MappingValueNode, into reflect.Value, field string) {
	into.Set(reflect.MakeMap(into.Type()))
	for _, e := range entries {
		key := e.Key.GetToken().Value
		element := reflect.New(into.Type().Elem()).Elem()
		t.value(e.Value, element, join(field, key))
		into.SetMapIndex(reflect.ValueOf(key), element)
	}
}

func (t *tree) list(n ast.Node, into reflect.Value, field string) {
	if n.Type() == ast.NullType {
		return
	}
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		t.fault(field, quote(n), "give a list, such as [a, b]")
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(sequence.Values), len(sequence.Values)))
	for i, element := range sequence.Values {
		t.value(element, into.Index(i), fmt.Sprintf("%s[%d]", field, i))
	}
}

// mapping is the entries of a node, each key once.
func (t *tree) mapping(n ast.Node, field, expected string) ([]*ast.MappingValueNode, bool) {
	var entries []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.NullNode:
		return nil, true
	case *ast.MappingNode:
		entries = n.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{n}
	default:
		t.fault(field, quote(n), "give "+expected)
		return nil, false
	}
	lines := map[string]int{}
	once := entries[:0:0]
	for _, e := range entries {
		key := e.Key.GetToken().Value
		switch first, twice := lines[key]; {
		case e.Key.IsMergeKey():
			t.faultAt(e.Key, field, key, "write out what is to be merged: a value may be an alias, a mapping is not merged")
		case twice:
			t.faultAt(e.Key, field, key, fmt.Sprintf("given before in line %d: keep one", first))
		default:
			lines[key] = placeOf(e.Key).line
			once = append(once, e)
		}
	}
	return once, true
}

// plain is the node behind anchors and aliases. A tag is refused: the types are ours.
func (t *tree) plain(n ast.Node, field string) ast.Node {
	// An alias may lead to an alias, and by way of its own anchor to itself.
	for range 100 {
		switch wrapped := n.(type) {
		case *ast.AnchorNode:
			t.anchors[wrapped.Name.GetToken().Value] = wrapped.Value
			n = wrapped.Value
		case *ast.AliasNode:
			name := wrapped.Value.GetToken().Value
			known, ok := t.anchors[name]
			if !ok {
				t.faultAt(n, field, "", fmt.Sprintf("*%s: define &%s before it is used", name, name))
				return nil
			}
			n = known
		case *ast.TagNode:
			t.faultAt(n, field, "", wrapped.GetToken().Value+": leave the tag out")
			return nil
		default:
			return n
		}
	}
	t.faultAt(n, field, "", "an alias of itself: give a value")
	return nil
}

func (t *tree) faultAt(n ast.Node, field, key, expected string) {
	where := placeOf(n)
	t.faults = append(t.faults, Fault{File: t.file, Line: where.line, Column: where.column, Field: join(field, key), Expected: expected})
}

func placeOf(n ast.Node) place {
	tk := n.GetToken()
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		tk = m.Values[0].Key.GetToken()
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		tk = m.Key.GetToken()
	}
	return tokenPlace(tk)
}

func tokenPlace(tk *token.Token) place {
	if tk == nil || tk.Position == nil {
		return place{line: 1, column: 1}
	}
	return place{line: tk.Position.Line, column: tk.Position.Column}
}

// fieldSet is the keys of a struct.
type fieldSet struct {
	names []string
	index map[string]int
}

func fields(t reflect.Type) fieldSet {
	set := fieldSet{index: map[string]int{}}
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		set.names = append(set.names, name)
		set.index[name] = i
	}
	return set
}

func join(field, key string) string {
	if field == "" || key == "" {
		return field + key
	}
	return field + "." + key
}
