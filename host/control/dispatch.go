package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/host/audit"
)

// dispatch answers what no route does, and gives every client its time.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	if err := s.allow(w); err != nil {
		return
	}
	if _, pattern := s.mux.Handler(r); pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	c := &call{Caller: s.caller(r), Method: r.Method, route: clip(r.URL.EscapedPath()), w: w}
	if c.Role == None {
		s.deny(c, Viewer)
		return
	}
	s.fail(c, fmt.Errorf("%w: %s %s", ErrNoRoute, c.Method, c.route))
}

// allow gives the client its time to send the whole request. The handlers give it more for each part of an answer.
func (s *Server) allow(w http.ResponseWriter) error {
	until := time.Now().Add(s.config.IOTimeout)
	rc := http.NewResponseController(w)
	return errors.Join(rc.SetReadDeadline(until), rc.SetWriteDeadline(until))
}

// caller is who asks, with the role that he has by now.
func (s *Server) caller(r *http.Request) Caller {
	c, access := r.Context().Value(connKey{}).(*conn), s.access.Load()
	if c.peer != nil {
		return Caller{Role: access.ofPeer(c.peer.UID, c.peer.GID, c.groups), Peer: c.peer, From: c.from}
	}
	role, subject := access.ofCertificate(r.TLS.VerifiedChains[0][0]) // the handshake has required it
	return Caller{Role: role, Subject: subject, From: c.from}
}

// handler serves a route: role, request, endpoint, audit log, answer.
func (s *Server) handler(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{
			Caller: s.caller(r), Method: rt.method, route: rt.pattern, w: w, client: r.Context(), changes: rt.changes,
			service: r.PathValue("name") + r.PathValue("service"), of: r.PathValue("number"), last: r.Header.Get("Last-Event-ID"), status: http.StatusOK,
		}
		if c.Role == None {
			s.deny(c, rt.role)
			return
		}
		err := c.decode(rt, r)
		if err == nil {
			// The body is read: from now on only the end of the connection ends the request.
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		}
		if role := max(rt.role, needs(c.body)); c.Role < role {
			s.deny(c, role)
			return
		}
		if err != nil {
			s.fail(c, err)
			return
		}
		ctx := r.Context()
		if rt.changes {
			if err := s.announce(c); err != nil {
				s.fail(c, err)
				return
			}
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), s.config.ActionTimeout)
			defer cancel()
		}
		result, err := rt.serve(ctx, s, c)
		switch {
		case err != nil:
			s.fail(c, err)
		case rt.media == "":
			s.record(c, nil)
			s.write(c, c.status, result)
		}
	})
}

// deny answers a caller whose role is too low.
func (s *Server) deny(c *call, role Role) {
	err := errorOf(fmt.Errorf("%w: %s %s takes the role %s, and %s has %s", ErrDenied, c.Method, c.route, role, c.name(), c.Role))
	c.denied = true
	s.record(c, err)
	if c.Role == None {
		c.w.Header().Set("Connection", "close")
	}
	s.write(c, err.Status, err)
}

// fail answers with an error.
func (s *Server) fail(c *call, err error) {
	if c.client != nil && c.client.Err() != nil && errors.Is(err, context.Canceled) {
		err = ErrUnavailable // the client has gone, and does not hear it, or the server ends
	}
	e := errorOf(err)
	s.record(c, e)
	if e.Status == http.StatusInternalServerError {
		s.logger.Error("request failed", "method", c.Method, "route", c.route, "service", c.service, "error", err)
	}
	if c.began {
		panic(http.ErrAbortHandler) // the end that the client sees is none of a whole answer
	}
	s.write(c, e.Status, e)
}

// write sends an answer, or nothing to a client that does not take it in time.
func (s *Server) write(c *call, status int, v any) {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(s.config.IOTimeout))
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.Header().Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(status)
	e := json.NewEncoder(c.w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
}

// announce puts what is about to begin into the audit log: this process may not live to tell how it ends. When the log is closed, the
// server has ended, and nothing is begun any more; whatever else is wrong with the log holds up nobody.
func (s *Server) announce(c *call) error {
	r, err := s.log.Append(c.entry())
	if errors.Is(err, audit.ErrClosed) {
		return ErrUnavailable
	}
	if err != nil {
		s.unwritten(c, err)
	}
	c.begun = r.Seq
	return nil
}

// record puts the outcome of a call into the audit log, once, if it changes something or was denied. A log that cannot be written holds up nobody: a
// bad release must be taken back on a full disk too. The next record counts what is missing.
func (s *Server) record(c *call, e *Error) {
	if c.recorded || !c.changes && !c.denied {
		return
	}
	c.recorded = true
	r := c.entry()
	r.Of, r.Outcome = c.begun, audit.Outcome{Status: c.status, Detail: c.detail}
	if e != nil {
		r.Outcome = audit.Outcome{Status: e.Status, Code: e.Code, Error: clip(e.Message), Detail: c.detail}
	}
	if c.denied {
		var keep bool
		if r.Repeats, keep = s.denials.take(c.key(), time.Now()); !keep {
			return
		}
		s.logger.Warn("denied", "caller", c.name(), "method", c.Method, "route", c.route, "service", c.service)
	}
	if _, err := s.log.Append(r); err != nil {
		s.unwritten(c, err)
	}
}

func (s *Server) unwritten(c *call, err error) {
	s.logger.Error("audit log not written", "caller", c.name(), "method", c.Method, "route", c.route, "service", c.service, "error", err)
}

// entry is the call as a record of the audit log, without an outcome.
func (c *call) entry() audit.Record {
	return audit.Record{
		Who: c.who(), From: c.From, What: audit.What{Method: c.Method, Route: c.route, Service: clip(c.service), Args: arguments(c.body)},
	}
}

// decode reads the query and the body.
func (c *call) decode(rt route, r *http.Request) error {
	if err := c.parse(rt.query, r.URL.RawQuery); err != nil {
		return err
	}
	body := reflect.New(rt.request)
	c.body = body.Interface()
	text, err := io.ReadAll(http.MaxBytesReader(c.w, r.Body, maxBody))
	if err != nil {
		return fmt.Errorf("%w: read the body: %w", ErrInvalid, err)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		return fmt.Errorf("%w: the body is %q: give application/json", ErrInvalid, media)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(c.body); err != nil {
		return fmt.Errorf("%w: the body: %s", ErrInvalid, strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the body goes on behind its object", ErrInvalid)
	}
	return nil
}

// arguments are the fields of a request for the audit log, without what may be a secret.
func arguments(body any) map[string]string {
	if body == nil {
		return nil
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil
	}
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil || len(fields) == 0 {
		return nil
	}
	all := make(map[string]string, len(fields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fmt.Sprint(fields[name])
		if name == "source" {
			value = redacted(value)
		}
		all[name] = clip(value)
	}
	return all
}

// clip bounds a text in the audit log.
func clip(s string) string {
	const most = 1024
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
