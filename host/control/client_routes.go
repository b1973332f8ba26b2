package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Services of the host, in the order in which they start.
func (c *Client) Services(ctx context.Context) ([]Service, error) {
	return ask[[]Service](ctx, c, "GET", "/v1/services", nil)
}

// Service is one service.
func (c *Client) Service(ctx context.Context, name string) (Service, error) {
	return ask[Service](ctx, c, "GET", path(name, ""), nil)
}

// Plan is what an upgrade would do.
func (c *Client) Plan(ctx context.Context, name string, r UpgradeRequest) (Plan, error) {
	return ask[Plan](ctx, c, "POST", path(name, "/plan"), r)
}

// Upgrade begins an upgrade. With r.Wait it returns when it is over, and an error if it was not kept; Await does the same over
// an agent's restart.
func (c *Client) Upgrade(ctx context.Context, name string, r UpgradeRequest) (Upgrade, error) {
	return ask[Upgrade](ctx, c, "POST", path(name, "/upgrade"), r)
}

// Rollback begins a rollback, as Upgrade does an upgrade.
func (c *Client) Rollback(ctx context.Context, name string, r RollbackRequest) (Upgrade, error) {
	return ask[Upgrade](ctx, c, "POST", path(name, "/rollback"), r)
}

// Promote ends the upgrade under way well.
func (c *Client) Promote(ctx context.Context, name string) (Upgrade, error) {
	return ask[Upgrade](ctx, c, "POST", path(name, "/promote"), nil)
}

// Abort takes the upgrade under way back.
func (c *Client) Abort(ctx context.Context, name, reason string) (Upgrade, error) {
	return ask[Upgrade](ctx, c, "POST", path(name, "/abort"), ReasonRequest{reason})
}

// Pause lets no upgrade begin, and keeps one under way on probation or in its bake time, until Resume.
func (c *Client) Pause(ctx context.Context, name, reason string) (Service, error) {
	return ask[Service](ctx, c, "POST", path(name, "/pause"), ReasonRequest{reason})
}

// Resume undoes a pause: upgrades go on, and begin.
func (c *Client) Resume(ctx context.Context, name string) (Service, error) {
	return ask[Service](ctx, c, "POST", path(name, "/resume"), nil)
}

// Start starts a service.
func (c *Client) Start(ctx context.Context, name string) (Service, error) {
	return ask[Service](ctx, c, "POST", path(name, "/start"), nil)
}

// Stop ends a service gracefully.
func (c *Client) Stop(ctx context.Context, name string) (Service, error) {
	return ask[Service](ctx, c, "POST", path(name, "/stop"), nil)
}

// History is the upgrades of a service, newest first; limit 0 is the server's default.
func (c *Client) History(ctx context.Context, name string, limit int) ([]Upgrade, error) {
	return ask[[]Upgrade](ctx, c, "GET", path(name, "/history", "limit", number(limit)), nil)
}

// Releases of a service on the host, newest first.
func (c *Client) Releases(ctx context.Context, name string) ([]Release, error) {
	return ask[[]Release](ctx, c, "GET", path(name, "/releases"), nil)
}

// Logs is the output of a service: its last lines, and with follow what comes until ctx ends. The caller closes it.
func (c *Client) Logs(ctx context.Context, name string, tail int, follow bool) (io.ReadCloser, error) {
	query := []string{"tail", strconv.Itoa(tail), "follow", strconv.FormatBool(follow)}
	r, err := c.send(ctx, "GET", path(name, "/logs", query...), nil, nil)
	if err != nil {
		return nil, err
	}
	return r.Body, nil
}

// Lookup is one upgrade as it stands.
func (c *Client) Lookup(ctx context.Context, service string, number uint64) (Upgrade, error) {
	return ask[Upgrade](ctx, c, "GET", upgradePath(service, number), nil)
}

// poll is how long one question of Await waits at the agent: less than what lies between may take an idle connection to be.
const poll = 30 * time.Second

// Await calls each (if it is not nil) whenever the upgrade has taken a step, and returns when it is over, with Upgrade.Err. It
// asks again for as long as ctx allows while no agent answers: an agent that is upgraded itself comes back.
func (c *Client) Await(ctx context.Context, service string, number uint64, each func(Upgrade)) (Upgrade, error) {
	steps, wait := 0, ""
	for {
		u, err := ask[Upgrade](ctx, c, "GET", withQuery(upgradePath(service, number), "wait", wait, "steps", strconv.Itoa(steps)), nil)
		if err == nil {
			if each != nil && (wait == "" || len(u.Steps) > steps || u.Over()) {
				each(u)
			}
			if u.Over() {
				return u, u.Err()
			}
			steps, wait = len(u.Steps), poll.String()
			continue
		}
		if !errors.Is(err, ErrNoAgent) && !errors.Is(err, ErrUnavailable) {
			return u, err
		}
		select {
		case <-ctx.Done():
			return u, errors.Join(err, c.unanswered(ctx.Err()))
		case <-time.After(500 * time.Millisecond): // that a socket is bound is no event
		}
	}
}

func upgradePath(service string, number uint64) string {
	return fmt.Sprintf("/v1/upgrades/%s/%d", url.PathEscape(service), number)
}

// Events calls each with every event after the one of that ID, or with 0 with what comes from now on, until ctx ends or each
// returns an error, which it returns. Service may be empty, for all. A reader who is too slow gets an event of kind cut, and
// io.EOF.
func (c *Client) Events(ctx context.Context, after uint64, service string, each func(Event) error) error {
	header := http.Header{"Accept": {"text/event-stream"}}
	if after > 0 {
		header.Set("Last-Event-Id", strconv.FormatUint(after, 10))
	}
	r, err := c.send(ctx, "GET", withQuery("/v1/events", "service", service), nil, header)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue // id and kind stand in the data too
		}
		var e Event
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return c.unanswered(err)
	}
	return io.EOF
}

// Agent is the agent itself, and the caller's role.
func (c *Client) Agent(ctx context.Context) (Agent, error) {
	return ask[Agent](ctx, c, "GET", "/v1/agent", nil)
}

// StopAll ends all services, those first that come after others. They are started again with the next start of an agent. It returns when all have
// ended.
func (c *Client) StopAll(ctx context.Context) error {
	_, err := ask[none](ctx, c, "POST", "/v1/agent/stop-services", nil)
	return err
}

// Reload has the agent read its configuration anew.
func (c *Client) Reload(ctx context.Context) (Reload, error) {
	return ask[Reload](ctx, c, "POST", "/v1/agent/reload", nil)
}

// Audit is the newest records of the audit log, those of one service if that is not empty, and before the one of that number if
// that is not 0; limit 0 is the server's default.
func (c *Client) Audit(ctx context.Context, limit int, before uint64, service string) (AuditPage, error) {
	return ask[AuditPage](ctx, c, "GET", withQuery("/v1/audit", "limit", number(limit), "before", number(int(before)), "service", service), nil)
}

// OpenAPI is the document that describes the API.
func (c *Client) OpenAPI(ctx context.Context) (json.RawMessage, error) {
	return ask[json.RawMessage](ctx, c, "GET", "/v1/openapi.json", nil)
}
