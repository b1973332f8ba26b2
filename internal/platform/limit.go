package platform

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Limits are the names of the resources of setrlimit(2), in lower case and without their prefix, sorted.
func Limits() []string { return slices.Sorted(maps.Keys(limits)) }

// SetLimit limits a resource for this process, and what it executes. Either limit may be math.MaxUint64, for none.
func SetLimit(name string, soft, hard uint64) error {
	resource, ok := limits[name]
	err := errors.ErrUnsupported
	if ok {
		err = setLimit(resource, soft, hard)
	}
	if err != nil {
		return fmt.Errorf("limit %s: %w", name, err)
	}
	return nil
}
