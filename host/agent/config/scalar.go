package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// scalar reads text, a number, true or false, or a duration. Text is taken as it is written, quoted or not.
func (t *tree) scalar(n ast.Node, into reflect.Value, field string) {
	text, ok := written(n)
	if !ok {
		t.fault(field, quote(n), "give "+expected(into.Type()))
		return
	}
	if err := set(into, text); err != nil {
		t.fault(field, strconv.Quote(text), err.Error())
	}
}

// set parses the text of a scalar. Its errors say what to write instead.
func set(into reflect.Value, text string) error {
	wrong := fmt.Errorf("give %s", expected(into.Type()))
	if u, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch {
	case into.Type() == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		if err != nil {
			return wrong
		}
		if d < 0 {
			return errors.New("give a duration above 0 such as 90s or 5m")
		}
		into.SetInt(int64(d))
	case into.Kind() == reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return wrong
		}
		into.SetInt(int64(n))
	case into.Kind() == reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || !(f >= 0) || math.IsInf(f, 0) {
			return wrong
		}
		into.SetFloat(f)
	case into.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return wrong
		}
		into.SetBool(text == "true")
	default:
		into.SetString(text)
	}
	return nil
}

func expected(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 90s or 5m"
	case t == reflect.TypeFor[Size]():
		return "a size such as 512MiB or 2GB"
	case t == reflect.TypeFor[Limit]():
		return "a limit such as 65536 or 1024:4096"
	case t.Kind() == reflect.Int:
		return "a whole number from 0"
	case t.Kind() == reflect.Float64:
		return "a number from 0 such as 1.5"
	case t.Kind() == reflect.Bool:
		return "true or false"
	default:
		return "text"
	}
}

// written is the text of a scalar.
func written(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// quote is what is there, for a fault.
func quote(n ast.Node) string {
	if text, ok := written(n); ok {
		return strconv.Quote(text)
	}
	switch n.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	}
	return ""
}
