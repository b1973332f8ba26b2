package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile is far above what a thousand services need.
const maxFile = 4 << 20

// Load reads a file, and lets the environment (see [Parse]) replace in it. An error is either of the file system, or Faults.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return Config{}, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return Parse(path, text, os.Environ())
}

// Parse is Load of a text that is at hand; name stands for the path in faults. The environment, KEY=value, comes before the file: a variable
// HANDOVER_AGENT_ with the field's name replaces a field that is no part of a service, such as HANDOVER_AGENT_CONTROL_LISTEN; a list is written
// with commas. An empty variable is none.
func Parse(name string, text []byte, environment []string) (Config, error) {
	return parse(name, text, environment, os.Geteuid())
}

func parse(name string, text []byte, environment []string, uid int) (Config, error) {
	t := newTree(name)
	var c Config
	if len(text) > maxFile {
		t.fault("", "", fmt.Sprintf("more than %s: give a smaller file", Size(maxFile)))
		return Config{}, t.faults
	}
	t.read(text, &c)
	t.overlay(environment, reflect.ValueOf(&c).Elem(), "")
	c = c.withDefaults(uid)
	newValidation(t, &c, uid).config()
	if len(t.faults) > 0 {
		return Config{}, t.faults.sorted()
	}
	return c, nil
}

// read is what the file says.
func (t *tree) read(text []byte, c *Config) {
	body, err := document(text)
	var syntax *yaml.SyntaxError
	switch {
	case errors.As(err, &syntax):
		where := tokenPlace(syntax.Token)
		t.faults = append(t.faults, Fault{File: t.file, Line: where.line, Column: where.column, Expected: "no YAML: " + syntax.Message})
	case err != nil:
		t.fault("", "", err.Error())
	case body != nil:
		t.value(body, reflect.ValueOf(c).Elem(), "")
	}
}

// document is the one document of a text; nil if it is empty.
func document(text []byte) (body ast.Node, err error) {
	// What a parser of others does not foresee must not end an agent that keeps services.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("no YAML: %v", r)
		}
	}()
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, err
	}
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			return nil, fmt.Errorf("a second document begins in line %d: give one", placeOf(d.Body).line)
		}
		body = d.Body
	}
	return body, nil
}

// overlay is what the environment says.
func (t *tree) overlay(environment []string, into reflect.Value, field string) {
	for i := range into.NumField() {
		f, inner := into.Field(i), join(field, into.Type().Field(i).Tag.Get("yaml"))
		switch f.Kind() {
		case reflect.Struct:
			t.overlay(environment, f, inner)
		case reflect.String, reflect.Slice:
			variable := variableOf(inner)
			value := lookup(environment, variable)
			if value == "" {
				continue
			}
			if f.Kind() == reflect.String {
				f.SetString(value)
				t.at[inner] = place{variable: variable}
			} else if f.Type() == reflect.TypeFor[[]string]() {
				parts := strings.Split(value, ",")
				f.Set(reflect.ValueOf(parts))
				for i := range parts {
					t.at[fmt.Sprintf("%s[%d]", inner, i)] = place{variable: variable}
				}
			}
		}
	}
}

// variableOf is the variable that replaces a field.
func variableOf(field string) string {
	return "HANDOVER_AGENT_" + strings.ToUpper(strings.ReplaceAll(field, ".", "_"))
}

func lookup(environment []string, variable string) (value string) {
	for _, v := range environment {
		if after, ok := strings.CutPrefix(v, variable+"="); ok {
			value = after
		}
	}
	return value
}
