package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// seen notes which routes a client has asked for, and hands the answers to a check.
type seen struct {
	http.RoundTripper
	server *Server
	check  func(pattern string, status int, body []byte)
	routes map[string]bool
}

func (s *seen) RoundTrip(q *http.Request) (*http.Response, error) {
	_, pattern := s.server.mux.Handler(q)
	s.routes[pattern] = true
	r, err := s.RoundTripper.RoundTrip(q)
	if err == nil && r.Header.Get("Content-Type") == "application/json" {
		body, readErr := io.ReadAll(r.Body)
		_ = r.Body.Close()
		r.Body, err = io.NopCloser(strings.NewReader(string(body))), readErr
		s.check(pattern, r.StatusCode, body)
	}
	return r, err
}

func TestEveryRouteIsSpokenByTheClientAndAnsweredAsDescribed(t *testing.T) {
	r := serve(t, Config{})
	c, ctx := r.client(), t.Context()
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct{ Schema object }
			}
		}
	}
	must(t, json.Unmarshal(openAPI, &doc))
	all := &seen{c.http.Transport, r.server, func(pattern string, status int, body []byte) {
		method, path, _ := strings.Cut(pattern, " ")
		answers := doc.Paths[path][strings.ToLower(method)].Responses
		answer, ok := answers[map[int]string{200: "200", 202: "202"}[status]]
		if !ok {
			answer = answers["default"]
		}
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			t.Errorf("%s: %d: %v", pattern, status, err)
		}
		if schema := answer.Content["application/json"].Schema; schema != nil {
			for _, fault := range conforms(schema, value, pattern) {
				t.Error(fault)
			}
		}
	}, map[string]bool{}}
	c.http.Transport = all
	closed := func(r io.ReadCloser, err error) error {
		if err == nil {
			err = r.Close()
		}
		return err
	}
	calls := []func() (any, error){
		func() (any, error) { return c.Services(ctx) },
		func() (any, error) { return c.Service(ctx, "shop") },
		func() (any, error) { return c.Plan(ctx, "shop", UpgradeRequest{Release: "1.1.0"}) },
		func() (any, error) { return c.Upgrade(ctx, "shop", UpgradeRequest{Binary: "/opt/shop"}) },
		func() (any, error) { return c.Rollback(ctx, "shop", RollbackRequest{To: "1.0.0"}) },
		func() (any, error) { return c.Promote(ctx, "shop") },
		func() (any, error) { return c.Abort(ctx, "shop", "too slow") },
		func() (any, error) { return c.Pause(ctx, "shop", "holidays") },
		func() (any, error) { return c.Resume(ctx, "shop") },
		func() (any, error) { return c.Start(ctx, "shop") },
		func() (any, error) { return c.Stop(ctx, "shop") },
		func() (any, error) { return c.History(ctx, "shop", 7) },
		func() (any, error) { return c.Releases(ctx, "shop") },
		func() (any, error) { return nil, closed(c.Logs(ctx, "shop", 10, false)) },
		func() (any, error) { return c.Lookup(ctx, "shop", 12) },
		func() (any, error) { return c.Agent(ctx) },
		func() (any, error) { return c.Reload(ctx) },
		func() (any, error) { return struct{}{}, c.StopAll(ctx) },
		func() (any, error) { return c.Audit(ctx, 10, 0, "shop") },
		func() (any, error) { return c.OpenAPI(ctx) },
		func() (any, error) {
			r.feed.Publish(Event{Kind: "first"})
			return nil, c.Events(ctx, r.feed.last()-1, "", func(Event) error { return errEnough })
		},
	}
	for i, call := range calls {
		if _, err := call(); err != nil && !errors.Is(err, errEnough) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	for _, route := range routes {
		if !all.routes[route.method+" "+route.pattern] {
			t.Errorf("no call of the client is %s %s", route.method, route.pattern)
		}
	}
	want := []string{"history 7", "abort too slow", "pause holidays"}
	for _, asked := range want {
		if !slices.Contains(r.agent.asked, asked) {
			t.Errorf("the agent was not asked for %q: %q", asked, r.agent.asked)
		}
	}
	var both []string // what was about to begin, and what came of it
	for _, action := range []struct{ what, outcome string }{
		{"upgrade shop", "202  shop/12"}, {"rollback shop", "202  shop/12"}, {"promote shop", "200"}, {"abort shop", "200"}, {"pause shop", "200"},
		{"resume shop", "200"}, {"start shop", "200"}, {"stop shop", "200"}, {"reload ", "200"}, {"stop-services ", "200"},
	} {
		both = append(both, "admin "+action.what+" 0", "admin "+action.what+" "+action.outcome)
	}
	r.recorded(both...)
}

var errEnough = errors.New("enough")

func TestErrorsAreFoundAcrossTheWire(t *testing.T) {
	r := serve(t, Config{})
	c := r.client()
	for _, class := range classes {
		r.agent.fails = class.is
		_, err := c.Start(t.Context(), "shop")
		var e *Error
		if !errors.As(err, &e) || e.Code != class.code || e.Status != class.status || e.Next == "" || !strings.Contains(e.Message, class.is.Error()) {
			t.Errorf("%v: %#v", class.is, err)
		}
		for _, other := range classes {
			if errors.Is(err, other.is) != (other.code == class.code) {
				t.Errorf("%v: is %q: %t", err, other.is, errors.Is(err, other.is))
			}
		}
	}
	r.agent.fails = errors.New("unheard of")
	if _, err := c.Start(t.Context(), "shop"); !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "unheard of") {
		t.Error(err)
	}
	r.agent.fails = &Error{Code: "busy", Message: "shop/8 bakes", Next: "wait a minute"}
	var e *Error
	if _, err := c.Start(t.Context(), "shop"); !errors.Is(err, ErrBusy) || !errors.As(err, &e) || e.Next != "wait a minute" {
		t.Error(err)
	}
	r.agent.fails = nil
	if _, err := c.Service(t.Context(), "a/../b?c"); !errors.Is(err, ErrUnknownService) || !strings.Contains(err.Error(), `"a/../b?c"`) {
		t.Error(err)
	}
	if _, err := c.Lookup(t.Context(), "shop", 99); !errors.Is(err, ErrUnknownUpgrade) {
		t.Error(err)
	}
}

func TestWrongRequestsAreRefusedAndNotGuessed(t *testing.T) {
	r := serve(t, Config{})
	c := r.client()
	for _, q := range []struct {
		method, path, media, body string
		want                      error
	}{
		{"POST", "/v1/services/shop/upgrade", "application/json", `{"relase":"1.1.0"}`, ErrInvalid},
		{"POST", "/v1/services/shop/upgrade", "application/json", `{"release":"1.1.0"} {}`, ErrInvalid},
		{"POST", "/v1/services/shop/upgrade", "application/json", `{"release":1}`, ErrInvalid},
		{"POST", "/v1/services/shop/upgrade", "text/plain", `{"release":"1.1.0"}`, ErrInvalid},
		{"POST", "/v1/services/shop/upgrade", "application/json", `{"release":"1.1.0","source":"/srv/shop"}`, ErrInvalid},
		{"POST", "/v1/services/shop/upgrade", "application/json", `{"release":"1.1.0"}}`, ErrInvalid},
		{"POST", "/v1/services/shop/upgrade", "application/json", `{"binary":"shop"}`, ErrInvalid},
		{"POST", "/v1/services/shop/upgrade", "application/json", `{"source":"shop.tar.zst"}`, ErrInvalid},
		{"POST", "/v1/services/shop/upgrade", "application/json", `{"release":"` + strings.Repeat("1", maxBody) + `"}`, ErrInvalid},
		{"POST", "/v1/services/shop/start", "application/json", `{"wait":true}`, ErrInvalid},
		{"POST", "/v1/services/shop/stop?now=1", "", "", ErrInvalid},
		{"GET", "/v1/services/shop/history?limit=0", "", "", ErrInvalid},
		{"GET", "/v1/services/shop/history?limit=1&limit=2", "", "", ErrInvalid},
		{"GET", "/v1/services/shop/logs?follow=perhaps", "", "", ErrInvalid},
		{"GET", "/v1/upgrades/shop/12?wait=1h", "", "", ErrInvalid},
		{"GET", "/v1/upgrades/shop/0", "", "", ErrUnknownUpgrade},
		{"GET", "/v1/upgrades/shop/last", "", "", ErrUnknownUpgrade},
		{"GET", "/v1/nothing", "", "", ErrNoRoute},
		{"DELETE", "/v1/services/shop", "", "", ErrNoRoute},
	} {
		request, err := http.NewRequestWithContext(t.Context(), q.method, c.base+q.path, strings.NewReader(q.body))
		must(t, err)
		request.Header.Set("Content-Type", q.media)
		answer, err := c.http.Do(request)
		must(t, err)
		err = readError(answer)
		if !errors.Is(err, q.want) {
			t.Errorf("%s %s %.60s: %v", q.method, q.path, q.body, err)
		}
	}
	if slices.ContainsFunc(r.agent.asked, func(what string) bool { return what != "history 20" }) {
		t.Errorf("the agent was asked: %q", r.agent.asked)
	}
}

func TestPageOfAnotherSiteCannotAsk(t *testing.T) {
	r := serve(t, Config{})
	_, err := r.client().send(t.Context(), "POST", "/v1/services/shop/stop", nil, http.Header{"Origin": {"https://evil.example"}})
	if err == nil || !strings.Contains(err.Error(), "403") || len(r.agent.asked) > 0 {
		t.Errorf("%v, the agent was asked: %q", err, r.agent.asked)
	}
}

func TestNobodyAnswersIsSaid(t *testing.T) {
	r := serve(t, Config{})
	r.end()
	if _, err := r.client().Services(t.Context()); !errors.Is(err, ErrNoAgent) {
		t.Error(err)
	}
	for _, address := range []string{"", "agent.sock", "http://127.0.0.1:1", "https://127.0.0.1:1", "https://"} {
		if _, err := Dial(address, Options{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := r.client().Services(contextThatEnded()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func contextThatEnded() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
