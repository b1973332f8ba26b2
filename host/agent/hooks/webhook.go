package hooks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/host/agent/config"
)

// longest is the most that is waited between two attempts, unless the receiver asks for more.
const longest = time.Minute

// post sends to a URL until it answers, or attempts or time are over.
func (r Runner) post(ctx context.Context, h config.Hook, e Event, body []byte) answer {
	var secret []byte
	if h.Secret != "" {
		// It is read each time, so that a new one needs no reload.
		text, err := os.ReadFile(h.Secret)
		if secret = bytes.TrimSpace(text); err != nil || len(secret) == 0 {
			return answer{outcome: Failed, detail: fmt.Sprintf("read the secret of hook %s: %v", h.Name, cmp.Or(err, errors.New("it is empty")))}
		}
	}
	client := r.client()
	pause := cmp.Or(r.Backoff, time.Second)
	for attempt := 1; ; attempt++ {
		a, again, after := send(ctx, client, h, e, body, secret)
		a.attempts = attempt
		if !again || attempt >= cmp.Or(h.Attempts, 3) {
			return a
		}
		wait := max(after, pause/2+rand.N(pause/2+1))
		if deadline, _ := ctx.Deadline(); ctx.Err() != nil || time.Until(deadline) <= wait {
			a.detail = with(fmt.Sprintf("no time is left to try again within %s", cmp.Or(h.Timeout, 30*time.Second)), a.detail)
			return a
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			a.detail = with(ended(ctx, h), a.detail)
			return a
		}
		pause = min(2*pause, longest)
	}
}

// send is one attempt: again reports whether there should be another, after what the receiver asked to wait.
func send(ctx context.Context, client *http.Client, h config.Hook, e Event, body, secret []byte) (a answer, again bool, after time.Duration) {
	a.outcome = Failed
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		a.detail = fmt.Sprintf("send: %v", unlocated(err))
		return a, false, 0
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "handover")
	request.Header.Set(KeyHeader, e.Key)
	if len(secret) > 0 {
		request.Header.Set(SignatureHeader, Sign(secret, body, time.Now()))
	}
	response, err := client.Do(request)
	if err != nil {
		a.detail = fmt.Sprintf("send: %v", unlocated(err))
		if ctx.Err() != nil {
			a.detail = ended(ctx, h)
		}
		return a, true, 0
	}
	said, _ := io.ReadAll(io.LimitReader(response.Body, maxDetail)) // what it says besides its status is only shown
	_ = response.Body.Close()
	a.detail = with(response.Status, strings.TrimSpace(strings.ToValidUTF8(string(said), "?")))
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		a.outcome = Done
	case code == http.StatusForbidden || code == http.StatusConflict:
		a.outcome = Vetoed
	case code == http.StatusTooManyRequests || code >= 500:
		return a, true, retryAfter(response.Header.Get("Retry-After"), time.Now())
	}
	return a, false, 0
}

// retryAfter is in seconds, or until a date (RFC 9110, 10.2.3).
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// unlocated leaves the URL out, which may have a secret in it.
func unlocated(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func (r Runner) client() *http.Client {
	if r.Client != nil {
		return r.Client
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
