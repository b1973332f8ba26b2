package observe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/handover-go/handover/host/judge"
)

const (
	defaultTimeout = 5 * time.Second
	maxDetail      = 4 << 10 // bytes that are kept of what a check has seen
)

// Check is anything that can be asked whether a service is well.
type Check interface {
	// Run asks once. It returns within the check's Timeout, or soon after ctx ends.
	Run(ctx context.Context) judge.Check
}

// measure runs one check within its timeout and makes its outcome of what it returns: a detail if it passed, else an error.
func measure(ctx context.Context, name string, timeout time.Duration, run func(context.Context) (string, error)) judge.Check {
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	detail, err := run(ctx)
	c := judge.Check{Name: name, OK: err == nil, Detail: detail, Latency: time.Since(began)}
	if err != nil {
		c.Detail = err.Error()
		if ctx.Err() == context.DeadlineExceeded {
			c.Detail = fmt.Sprintf("no answer within %s: %v", timeout, err)
		}
	}
	c.Detail = line(c.Detail)
	return c
}

// line makes one line of what another program has written: no more than maxDetail bytes, nothing that a terminal would act on.
func line(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if len(text) <= maxDetail {
		return text
	}
	cut := maxDetail
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}

// named collects what is wrong with a check.
func named(name string, timeout time.Duration, wrong ...error) error {
	if name == "" {
		wrong = append(wrong, errors.New("Name: want one, to tell checks apart"))
	}
	if timeout < 0 {
		wrong = append(wrong, fmt.Errorf("Timeout: %s: want more than 0, or 0 for %s", timeout, defaultTimeout))
	}
	return errors.Join(wrong...)
}
