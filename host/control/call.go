package control

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// call is one request as an endpoint sees it.
type call struct {
	Caller
	Method  string
	route   string // pattern; the path where there is none
	service string // of the path
	of      string // number of an upgrade, of the path
	last    string // Last-Event-ID
	query   url.Values
	body    any // pointer to what the route takes
	changes bool

	w      http.ResponseWriter
	client context.Context // ends with the client and with the server
	began  bool            // a stream has begun to answer

	status   int
	detail   string // what was begun
	denied   bool
	recorded bool
	begun    uint64 // record of what was about to begin; 0: none
}

func (c *call) name() string { return cmp.Or(c.key(), "nobody") }

// parse reads the query, which may hold what the route knows and nothing else.
func (c *call) parse(params []param, raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return fmt.Errorf("%w: query: %w", ErrInvalid, err)
	}
	for name, values := range query {
		if len(values) > 1 || !slices.ContainsFunc(params, func(p param) bool { return p.name == name }) {
			return fmt.Errorf("%w: query: %q is not known here, or is given twice", ErrInvalid, name)
		}
	}
	c.query = query
	return nil
}

func (c *call) integer(name string, otherwise, low, high int) (int, error) {
	text := c.query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%w: %s %q: give a number from %d to %d", ErrInvalid, name, text, low, high)
	}
	return n, nil
}

func (c *call) boolean(name string) (bool, error) {
	text := c.query.Get(name)
	if text == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%w: %s %q: give true or false", ErrInvalid, name, text)
	}
	return b, nil
}

func (c *call) duration(name string, most time.Duration) (time.Duration, error) {
	text := c.query.Get(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		return 0, fmt.Errorf("%w: %s %q: give a duration such as 30s, at most %s", ErrInvalid, name, text, most)
	}
	return d, nil
}

// number is that of the upgrade in the path.
func (c *call) number() (uint64, error) {
	n, err := strconv.ParseUint(c.of, 10, 53)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%w: %s/%s: the number of an upgrade is one from 1 on", ErrUnknownUpgrade, c.service, c.of)
	}
	return n, nil
}

func (r UpgradeRequest) validate() error {
	given := 0
	for _, what := range []string{r.Release, r.Source, r.Binary} {
		if what != "" {
			given++
		}
	}
	if given > 1 {
		return fmt.Errorf("%w: give one of release, source and binary", ErrInvalid)
	}
	if r.Source != "" && !strings.HasPrefix(r.Source, "/") && !strings.Contains(r.Source, "://") {
		return fmt.Errorf("%w: source %q: give an absolute path or a URL", ErrInvalid, r.Source)
	}
	if r.Binary != "" && !strings.HasPrefix(r.Binary, "/") {
		return fmt.Errorf("%w: binary %q: give an absolute path", ErrInvalid, r.Binary)
	}
	return nil
}

// redacted is a source without what may let somebody in: user and password, and the query of a signed URL.
func redacted(source string) string {
	u, err := url.Parse(source)
	if err != nil {
		return "(unreadable)"
	}
	if u.User != nil {
		u.User = url.User("redacted")
	}
	if u.RawQuery != "" {
		u.RawQuery = "redacted"
	}
	return u.String()
}
