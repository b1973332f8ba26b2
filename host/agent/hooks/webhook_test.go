//go:build unix

package hooks

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/host/agent/config"
)

const secretText = "a secret of the hook"

// receiver answers with one status after the other, and the last again.
type receiver struct {
	*httptest.Server
	statuses []int
	header   http.Header
	seen     []*http.Request
	bodies   [][]byte
	at       []time.Time
}

func newReceiver(t *testing.T, statuses ...int) *receiver {
	r := &receiver{statuses: statuses, header: http.Header{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		status := r.statuses[min(len(r.seen), len(r.statuses)-1)]
		r.seen, r.bodies, r.at = append(r.seen, q), append(r.bodies, body), append(r.at, time.Now())
		for name, values := range r.header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "so it is")
	}))
	t.Cleanup(r.Close)
	return r
}

func webhook(url string) config.Hook {
	return config.Hook{Name: "web", On: []string{config.Before}, URL: url, Timeout: 10 * time.Second, Attempts: 3}
}

var quick = Runner{Backoff: time.Millisecond}

func TestWebhookIsSignedAndTriedAgainWithTheSameKey(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(secretText+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newReceiver(t, 503, 500, 204)
	h := webhook(s.URL)
	h.Secret = secret
	if r := one(t, quick, h, before); r.Outcome != Done || r.Attempts != 3 {
		t.Fatalf("got %+v", r)
	}
	for i, q := range s.seen {
		if err := Verify([]byte(secretText), s.bodies[i], q.Header.Get(SignatureHeader), time.Now(), time.Minute); err != nil {
			t.Errorf("attempt %d: %v", i+1, err)
		}
		var e Event
		if err := json.Unmarshal(s.bodies[i], &e); err != nil || e.Key != "shop/12/before" || q.Header.Get(KeyHeader) != e.Key || q.Header.Get("Content-Type") != "application/json" {
			t.Errorf("attempt %d: %v, %v, %+v", i+1, err, q.Header, e)
		}
	}
}

func TestWebhookIsTriedAgainOnlyWhereThatCanHelp(t *testing.T) {
	for _, c := range []struct {
		statuses []int
		attempts int
		outcome  Outcome
	}{
		{[]int{200}, 1, Done}, {[]int{429, 200}, 2, Done}, {[]int{500}, 3, Failed}, {[]int{400}, 1, Failed}, {[]int{302}, 1, Failed}, {[]int{404}, 1, Failed},
		{[]int{403}, 1, Failed}, {[]int{503, 403}, 2, Failed},
	} {
		s := newReceiver(t, c.statuses...)
		s.header.Set("Location", "/elsewhere")
		r := one(t, quick, webhook(s.URL), before)
		if r.Outcome != c.outcome || r.Attempts != c.attempts || len(s.seen) != c.attempts {
			t.Errorf("%v: %+v, %d requests", c.statuses, r, len(s.seen))
		}
	}
}

func TestWebhookVetoesByForbiddenAndConflict(t *testing.T) {
	for _, c := range []struct {
		status  int
		failure string
		outcome Outcome
	}{
		{403, config.FailureIgnored, Vetoed}, {409, config.FailureIgnored, Vetoed}, {400, config.FailureIgnored, Failed}, {500, config.FailureIgnored, Failed},
		{400, config.FailureVetoes, Vetoed}, {500, config.FailureVetoes, Vetoed}, {200, config.FailureVetoes, Done},
	} {
		h := webhook(newReceiver(t, c.status).URL)
		h.Veto, h.Failure = true, c.failure
		if r := one(t, quick, h, before); r.Outcome != c.outcome || !strings.HasSuffix(r.Detail, ": so it is") {
			t.Errorf("%d, failure %q: %+v", c.status, c.failure, r)
		}
	}
}

func TestWebhookWaitsAsLongAsItIsAskedTo(t *testing.T) {
	s := newReceiver(t, 429, 200)
	s.header.Set("Retry-After", "1")
	if r := one(t, quick, webhook(s.URL), before); r.Outcome != Done || s.at[1].Sub(s.at[0]) < 990*time.Millisecond {
		t.Errorf("%+v, requests at %v", r, s.at)
	}
	s = newReceiver(t, 503)
	s.header.Set("Retry-After", "3600")
	if r := one(t, quick, webhook(s.URL), before); r.Attempts != 1 || r.Took > 5*time.Second || !strings.HasPrefix(r.Detail, "no time is left to try again within 10s: 503") {
		t.Errorf("got %+v", r)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "7": 7 * time.Second, "Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestWebhookThatCannotBeReachedIsTriedAgainAndTellsNoSecret(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	r := one(t, quick, webhook("http://user:password@"+address+"/hook?token=hidden"), before)
	if r.Outcome != Failed || r.Attempts != 3 || !strings.Contains(r.Detail, "connection refused") || strings.Contains(r.Detail, "password") || strings.Contains(r.Detail, "hidden") {
		t.Errorf("got %+v", r)
	}
}

func TestWebhookThatDoesNotAnswerEndsWithItsTime(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	h := webhook(s.URL)
	h.Timeout = 100 * time.Millisecond
	if r := one(t, quick, h, before); r.Outcome != Failed || r.Attempts != 1 || !strings.Contains(r.Detail, "within 100ms: took longer than 100ms") {
		t.Errorf("got %+v", r)
	}
}

func TestWebhookWithoutItsSecretIsNotSent(t *testing.T) {
	s := newReceiver(t, 200)
	h := webhook(s.URL)
	h.Secret = filepath.Join(t.TempDir(), "none")
	if r := one(t, quick, h, before); r.Outcome != Failed || r.Attempts != 0 || len(s.seen) != 0 {
		t.Errorf("%+v, %d requests", r, len(s.seen))
	}
}

func TestSignatureOfAnotherBodyTimeOrSecretIsRefused(t *testing.T) {
	now, secret, body := time.Unix(1700000000, 0), []byte(secretText), []byte(`{"key":"shop/12/before"}`)
	header := Sign(secret, body, now)
	if err := Verify(secret, body, header, now.Add(4*time.Minute), 5*time.Minute); err != nil {
		t.Errorf("its own: %v", err)
	}
	for what, err := range map[string]error{
		"another body":   Verify(secret, slices.Concat(body, []byte(" ")), header, now, time.Minute),
		"another secret": Verify([]byte("other"), body, header, now, time.Minute),
		"later":          Verify(secret, body, header, now.Add(2*time.Minute), time.Minute),
		"earlier":        Verify(secret, body, header, now.Add(-2*time.Minute), time.Minute),
		"another time":   Verify(secret, body, strings.Replace(header, "t=17", "t=16", 1), now, 1<<62),
	} {
		if !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, header := range []string{"", "t=1", "v1=00", "t=x,v1=00", "t=1,v1=zz", "t=1,v1="} {
		if err := Verify(secret, body, header, now, time.Minute); err == nil || errors.Is(err, ErrSignature) {
			t.Errorf("%q: %v", header, err)
		}
	}
}
