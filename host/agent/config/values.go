package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as a number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB after it, or with nothing for bytes.
type Size int64

var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if bytes := n * u.bytes; err == nil && bytes > 0 && bytes < math.MaxInt64 {
			*s = Size(bytes)
			return nil
		}
		break
	}
	return errors.New("give a size above 0 such as 512MiB or 2GB")
}

// String is s as it would be written, in the greatest unit that leaves no fraction.
func (s Size) String() string {
	for _, u := range []string{"TiB", "GiB", "MiB", "KiB"} {
		i := slices.IndexFunc(units, func(known struct {
			name  string
			bytes float64
		}) bool {
			return known.name == u
		})
		if unit := Size(units[i].bytes); s != 0 && s%unit == 0 {
			return strconv.FormatInt(int64(s/unit), 10) + u
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// Limits of resources, by the names of prlimit(1): soft[:hard], each a number in the unit of setrlimit(2) or unlimited.
type Limits map[string]Limit

// resources are those of getrlimit(2) that can be set with an effect.
var resources = []string{"as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc", "rtprio", "rttime", "sigpending", "stack"}

// Limit is one limit of resources.
type Limit struct{ Soft, Hard uint64 }

// Unlimited is a Limit's part that is none.
const Unlimited = math.MaxUint64

// UnmarshalText implements encoding.TextUnmarshaler. What gives no hard limit gives the same for both.
func (l *Limit) UnmarshalText(text []byte) error {
	soft, hard, both := strings.Cut(string(text), ":")
	if !both {
		hard = soft
	}
	var parsed Limit
	if !limit(soft, &parsed.Soft) || !limit(hard, &parsed.Hard) {
		return errors.New("give SOFT or SOFT:HARD, each a number or unlimited, such as 65536 or 1024:4096")
	}
	if parsed.Soft > parsed.Hard {
		return errors.New("give a soft limit that is not above the hard one")
	}
	*l = parsed
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String is l as UnmarshalText reads it, and "handover run --limit" too.
func (l Limit) String() string {
	if l.Soft == l.Hard {
		return limitText(l.Soft)
	}
	return limitText(l.Soft) + ":" + limitText(l.Hard)
}

func limit(text string, into *uint64) bool {
	if text == "unlimited" {
		*into = Unlimited
		return true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	*into = n
	return err == nil && n != Unlimited
}

func limitText(n uint64) string {
	if n == Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// Statuses are those of HTTP that are well.
type Statuses []StatusRange

// StatusRange is of both ends, which belong to it.
type StatusRange struct{ From, To int }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Statuses) UnmarshalText(text []byte) error {
	var all Statuses
	for part := range strings.SplitSeq(string(text), ",") {
		from, to, both := strings.Cut(strings.TrimSpace(part), "-")
		if !both {
			to = from
		}
		first, err := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if errors.Join(err, err2) != nil || first < 100 || last > 599 || first > last {
			return errors.New("give statuses from 100 to 599 such as 200-299,404")
		}
		all = append(all, StatusRange{first, last})
	}
	*s = all
	return nil
}

// Has reports whether a status is among them.
func (s Statuses) Has(status int) bool {
	return slices.ContainsFunc(s, func(r StatusRange) bool { return r.From <= status && status <= r.To })
}

// String is s as UnmarshalText reads it.
func (s Statuses) String() string {
	parts := make([]string, len(s))
	for i, r := range s {
		if parts[i] = strconv.Itoa(r.From); r.To != r.From {
			parts[i] = fmt.Sprintf("%d-%d", r.From, r.To)
		}
	}
	return strings.Join(parts, ",")
}
