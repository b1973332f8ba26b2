//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// family needs a subreaper, and handovers need Linux anyway.
type family struct{}

var errNoFamily = fmt.Errorf("handovers on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func startFamily(string, []string, []string) (*family, error) { return nil, errNoFamily }
func (*family) next(context.Context) (entry, error)           { return entry{}, errNoFamily }
func (*family) upgrade(int) error                             { return errNoFamily }
func (*family) end(context.Context) error                     { return errNoFamily }
func (*family) tail() string                                  { return "" }
