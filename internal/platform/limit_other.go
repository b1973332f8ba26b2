//go:build !linux

package platform

import "errors"

var limits map[string]int

func setLimit(int, uint64, uint64) error { return errors.ErrUnsupported }
