//go:build !linux

package release

import "errors"

func exchange(string, string) error { return errors.ErrUnsupported }
