package handover

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"
)

// server is an http.Server that was attached to a listener.
type server struct {
	process  *Process
	http     *http.Server
	listener net.Listener
	own      *listener // the same, if it is unwrapped
	sockets  *sockets
	tickets  *tickets
	counts   *counts
	expiring context.Context // ends when requests still in flight are about to be cut
	secure   bool
	certFile string
	keyFile  string

	above   net.Listener // of Config.TLSListener, on listener; nil: net/http's
	started bool
	http2   announcements
	shadow  *http.Server // has the HTTP/2 side, so that it can be shut down alone; nil without HTTP/2
	ended   chan struct{}
	err     error // why Serve ended; valid once ended is closed
}

// connKey finds the connection in a request's context.
type connKey struct{}

func (p *Process) newServer(srv *http.Server, ln net.Listener) *server {
	own, _ := ln.(*listener)
	return &server{
		process: p, http: srv, listener: ln, own: own, sockets: p.sockets, tickets: p.tickets, counts: &p.counts, expiring: p.expiring, ended: make(chan struct{}),
		http2: announcements{conns: make(map[net.Conn]*announced)},
	}
}

// prepare makes srv tell what its connections do. What the user set goes on working: it is called as well.
func (s *server) prepare() error {
	if s.own != nil {
		s.own.attached = true
		s.own.plainHTTP = !s.secure
	}
	state, connContext, handler := s.http.ConnState, s.http.ConnContext, s.http.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	s.http.ConnState = func(c net.Conn, to http.ConnState) {
		if own, ok := accepted(c); ok {
			own.observe(to)
		}
		if above, ok := c.(interface{ ObserveState(http.ConnState) }); ok {
			above.ObserveState(to)
		}
		if state != nil {
			if a, ok := c.(interface{ unannounced() net.Conn }); ok {
				c = a.unannounced()
			}
			state(c, to)
		}
	}
	s.http.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if own, ok := accepted(c); ok {
			ctx = context.WithValue(ctx, connKey{}, own)
		}
		ctx = context.WithValue(ctx, expiringKey{}, s.expiring)
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		return ctx
	}
	s.http.Handler = &departure{server: s, next: handler}
	if s.secure {
		if err := s.secureTLS(); err != nil {
			return err
		}
	}
	if err := s.separateHTTP2(); err != nil {
		return err
	}
	if makeListener := s.process.config.TLSListener; s.secure && s.own != nil && makeListener != nil {
		config := s.http.TLSConfig.Clone()
		config.NextProtos = s.protocols()
		above, err := makeListener(s.process, s.http, s.listener, config)
		if err != nil {
			return fmt.Errorf("configure server: %w", err)
		}
		s.above = above
		if a, ok := above.(interface{ Figures() TLSFigures }); ok {
			figures := a.Figures
			s.process.liveTLS.Store(&figures)
		}
	}
	return nil
}

// protocols are what net/http would offer, in its order.
func (s *server) protocols() []string {
	_, http2 := s.http.TLSNextProto[overTLS]
	http1 := true
	if p := s.http.Protocols; p != nil {
		http1, http2 = p.HTTP1(), http2 && p.HTTP2()
	}
	offered := slices.DeleteFunc(slices.Clone(s.http.TLSConfig.NextProtos), func(name string) bool {
		return name == overTLS && !http2 || name == "http/1.1" && !http1
	})
	if http2 && !slices.Contains(offered, overTLS) {
		offered = append(offered, overTLS)
	}
	if http1 && !slices.Contains(offered, "http/1.1") {
		offered = append(offered, "http/1.1")
	}
	return offered
}

// secureTLS completes the TLS configuration: the certificate follows its files, and tickets outlive the generation. It works on
// a copy, as http.Server.ServeTLS would.
func (s *server) secureTLS() error {
	c := s.http.TLSConfig.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	if s.certFile != "" || s.keyFile != "" {
		files, err := loadCertificate(s.certFile, s.keyFile, s.sockets.log)
		if err != nil {
			return fmt.Errorf("configure server: %w", err)
		}
		// With both, crypto/tls asks the function only where the client names a server.
		named := c.GetCertificate
		c.Certificates, c.GetCertificate = nil, func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if named != nil && hello.ServerName != "" {
				if found, err := named(hello); found != nil || err != nil {
					return found, err
				}
			}
			return files.current(), nil
		}
		s.certFile, s.keyFile = "", ""
	}
	s.http.TLSConfig = c
	if managesTickets(c) || c.GetConfigForClient != nil {
		return nil
	}
	addr := s.listener.Addr()
	if err := s.tickets.share(addr.Network()+"|"+addr.String(), c); err != nil {
		return fmt.Errorf("configure server: %w", err)
	}
	return nil
}

// separateHTTP2 gives the server the HTTP/2 side of another one. net/http sends GOAWAY only in Shutdown, which also closes
// idle HTTP/1.1 connections under their clients; the other server has none, so it can be shut down when connections are to
// leave. A program that brought its own HTTP/2 (TLSNextProto) keeps it.
func (s *server) separateHTTP2() error {
	if s.http.TLSNextProto != nil {
		s.http.TLSNextProto = noted(s.http.TLSNextProto)
		return nil
	}
	shadow := &http.Server{
		Handler: s.http.Handler, TLSConfig: s.http.TLSConfig, Protocols: s.http.Protocols, HTTP2: s.http.HTTP2,
		ReadTimeout: s.http.ReadTimeout, WriteTimeout: s.http.WriteTimeout, IdleTimeout: s.http.IdleTimeout,
		MaxHeaderBytes: s.http.MaxHeaderBytes, ErrorLog: s.http.ErrorLog,
	}
	// Serving a listener that is closed already configures HTTP/2, and nothing else.
	var err error
	if s.secure {
		err = shadow.ServeTLS(closedListener{}, s.certFile, s.keyFile)
	} else {
		err = shadow.Serve(closedListener{})
	}
	if !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("configure server: %w", err)
	}
	if len(shadow.TLSNextProto) == 0 {
		return nil // no HTTP/2 wanted
	}
	s.http.TLSNextProto = noted(s.http2.serving(shadow.TLSNextProto))
	s.shadow = shadow
	return nil
}

// noted has connections over TLS know it when they speak HTTP/2; without TLS they see it by themselves.
func noted(protocols nextProtocols) nextProtocols {
	serve, ok := protocols[overTLS]
	if !ok {
		return protocols
	}
	protocols = maps.Clone(protocols)
	protocols[overTLS] = func(srv *http.Server, c *tls.Conn, h http.Handler) {
		if own, ok := accepted(c); ok {
			own.mu.Lock()
			own.inflow.http2 = true
			own.mu.Unlock()
		}
		serve(srv, c, h)
	}
	return protocols
}

// start serves until the listener ends. failed hears of an end that nobody asked for.
func (s *server) start(failed func(error)) {
	s.started = true
	go func() {
		defer close(s.ended)
		if s.secure && s.above == nil {
			s.err = s.http.ServeTLS(s.listener, s.certFile, s.keyFile)
		} else if s.secure {
			s.err = s.http.Serve(s.above)
		} else {
			s.err = s.http.Serve(s.listener)
		}
		failed(fmt.Errorf("serve %s: %w", s.listener.Addr(), s.err)) // an end that was meant is not heard
	}()
}

// leave tells the clients, in their protocol's words, that connections of this generation end: HTTP/2 by GOAWAY, at once and, to
// refuse what comes late, again after lastCall;
// HTTP/1.1 connections that cannot follow by "Connection: close" on an answer that nothing is behind (see departure).
//
// Where the service ends, net/http is told too: it adds the header to answers whose handlers have begun already.
func (s *server) leave(ctx context.Context) {
	if s.sockets.mode.Load() == modeRetire {
		s.http.SetKeepAlivesEnabled(false)
	}
	if s.shadow == nil {
		return
	}
	s.http2.say(ctx)
	// Shutdown sends GOAWAY before it waits, and the shadow has no connections to wait for.
	_ = s.shadow.Shutdown(ctx)
	s.http2.telling.Wait()
}

// stop ends the server, whose listener has ended and whose connections have gone or been cut.
func (s *server) stop(ctx context.Context) {
	if !s.started {
		return
	}
	stopping, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := s.http.Shutdown(stopping); err != nil {
		_ = s.http.Close()
	}
	<-s.ended
}

// stopTimeout bounds the end of a server that has nothing left to do.
const stopTimeout = time.Second

// closedListener has ended before it began.
type closedListener struct{}

func (closedListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (closedListener) Close() error              { return nil }
func (closedListener) Addr() net.Addr            { return &net.TCPAddr{} }
