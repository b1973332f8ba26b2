package control

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

//go:embed openapi.json
var openAPI []byte

func (s *Server) document(_ context.Context, c *call) error {
	out := s.begin(c, "application/json")
	_, err := out.Write(openAPI)
	return err
}

// logs copies the service's output until it ends or the client leaves.
func (s *Server) logs(ctx context.Context, c *call) error {
	tail, err := c.integer("tail", 100, 0, 100_000)
	if err != nil {
		return err
	}
	follow, err := c.boolean("follow")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	text, err := s.backend.Logs(ctx, c.service, tail, follow)
	if err != nil {
		return err
	}
	defer func() { _ = text.Close() }()
	out := s.begin(c, "text/plain; charset=utf-8")
	if _, err := io.Copy(out, text); err != nil && ctx.Err() == nil {
		return fmt.Errorf("copy the log of %q: %w", c.service, err)
	}
	return nil
}

// events sends what happens until the client leaves. One who asks for nothing older gets what comes from now on.
func (s *Server) events(ctx context.Context, c *call) error {
	after, from := s.feed.last(), c.last
	if from == "" {
		from = c.query.Get("after")
	}
	if from != "" {
		var err error
		if after, err = strconv.ParseUint(from, 10, 53); err != nil {
			return fmt.Errorf("%w: Last-Event-ID %q: give the id of an event", ErrInvalid, from)
		}
	}
	last := s.feed.last()
	ahead := after > last // an ID of an agent whose clock was ahead of this one's: what comes has lower ones
	after = min(after, last)
	out, begun := s.begin(c, "text/event-stream"), false
	beat := time.NewTicker(s.config.Heartbeat)
	defer beat.Stop()
	for {
		events, gone, changed := s.feed.since(after)
		if gone || ahead && !begun {
			missing := Event{ID: after, At: time.Now().UTC(), Kind: "gap", Detail: "events before this one are gone"}
			if begun {
				missing.Kind, missing.Detail = "cut", "too slow: events behind the last one are gone; connect again"
				s.logger.Warn("reader of events cut", "caller", c.name())
			}
			if out.event(missing) != nil || begun {
				return nil
			}
		}
		begun = true
		for _, e := range events {
			after = e.ID
			if service := c.query.Get("service"); service != "" && e.Service != service {
				continue
			}
			if out.event(e) != nil {
				return nil // the client has gone, or takes nothing
			}
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-beat.C:
			if _, err := io.WriteString(out, ": alive\n\n"); err != nil {
				return nil
			}
		}
	}
}

// begin begins an answer that is written part by part.
func (s *Server) begin(c *call, media string) *parts {
	h := c.w.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	c.began = true
	p := &parts{c.w, http.NewResponseController(c.w), s.config.IOTimeout}
	_, _ = p.Write(nil) // the client learns that it is answered before there is anything to tell
	return p
}

// parts sends each part at once, and gives up a client that does not take it in time.
type parts struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (p *parts) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(p.timeout)); err != nil {
		return 0, err
	}
	n, err := p.w.Write(b)
	return n, errors.Join(err, p.control.Flush())
}

func (p *parts) event(e Event) error {
	text, err := json.Marshal(e)
	if err == nil {
		_, err = fmt.Fprintf(p, "id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Kind, text)
	}
	return err
}
