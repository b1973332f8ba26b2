package keeper

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/handover-go/handover/internal/platform"
)

// Unlimited is no limit.
const Unlimited = math.MaxUint64

// Limit bounds what each process of the service may use of a resource (setrlimit(2)).
type Limit struct {
	Resource   string // nofile, nproc, as, memlock and so on
	Soft, Hard uint64 // in the resource's unit; Soft is not above Hard
}

// ParseLimit reads RESOURCE=SOFT[:HARD], as in nofile=1024:4096. Without HARD it is SOFT; each is a number or "unlimited".
func ParseLimit(text string) (Limit, error) {
	l, err := parseLimit(text)
	if err == nil {
		err = l.validate()
	}
	if err != nil {
		return Limit{}, fmt.Errorf("limit %q: %w", text, err)
	}
	return l, nil
}

func parseLimit(text string) (l Limit, err error) {
	name, values, ok := strings.Cut(text, "=")
	if !ok {
		return l, errors.New("give RESOURCE=SOFT or RESOURCE=SOFT:HARD, as in nofile=1024:4096")
	}
	soft, hard, both := strings.Cut(values, ":")
	if !both {
		hard = soft
	}
	l.Resource = name
	if l.Soft, err = parseAmount(soft); err == nil {
		l.Hard, err = parseAmount(hard)
	}
	return l, err
}

func parseAmount(text string) (uint64, error) {
	if text == "unlimited" {
		return Unlimited, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a number nor \"unlimited\"", text)
	}
	return n, nil
}

func (l Limit) validate() error {
	switch known := platform.Limits(); {
	case !slices.Contains(known, l.Resource):
		return fmt.Errorf("resource %q is not known: give one of %s", l.Resource, strings.Join(known, ", "))
	case l.Soft > l.Hard:
		return fmt.Errorf("%d is above the hard limit of %d", l.Soft, l.Hard)
	}
	return nil
}

// String is what ParseLimit reads.
func (l Limit) String() string {
	amount := func(n uint64) string {
		if n == Unlimited {
			return "unlimited"
		}
		return strconv.FormatUint(n, 10)
	}
	return l.Resource + "=" + amount(l.Soft) + ":" + amount(l.Hard)
}

// limited passes limits on to a process of this program that is to become the service.
func limited(limits []Limit) string {
	var all []string
	for _, l := range limits {
		all = append(all, l.String())
	}
	return strings.Join(all, " ")
}

// limit sets what limited has written.
func limit(text string) error {
	for _, one := range strings.Fields(text) {
		l, err := ParseLimit(one)
		if err != nil {
			return err
		}
		if err := platform.SetLimit(l.Resource, l.Soft, l.Hard); err != nil {
			return err
		}
	}
	return nil
}
