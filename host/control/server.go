package control

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/host/audit"
)

// Config of a server. Backend and Audit are needed.
type Config struct {
	Backend Backend
	Audit   *audit.Log   // appended to; its owner closes it
	Events  *Feed        // nil: there are no events
	Access  Access       // zero: root and this process's own user are admin, and nobody else has a role
	TLS     *tls.Config  // what listeners that are no unix sockets need; see TLSConfig
	Logger  *slog.Logger // nil: nothing is logged

	MaxClients    int           // connections at a time of others than admins at unix sockets, as many over TLS, and as many there that have not asked yet; 0: 128
	MaxPerClient  int           // of each kind, of one user, address, or network of 64 bits of IPv6; 0: 16
	ActionTimeout time.Duration // for what changes something and is no upgrade; 0: 2 minutes
	Heartbeat     time.Duration // between signs of life in a stream of events; 0: 15 seconds
	IOTimeout     time.Duration // for a client to send its request, and to take a part of an answer; 0: 10 seconds
}

// Limits of a request, in bytes.
const (
	maxHeader = 16 << 10
	maxBody   = 64 << 10
)

// grace is how long requests in flight may take when the server ends.
const grace = 10 * time.Second

// Server answers at any number of listeners.
type Server struct {
	backend   Backend
	log       *audit.Log
	feed      *Feed
	logger    *slog.Logger
	config    Config
	mux       *http.ServeMux
	local     guard // of those at unix sockets
	remote    guard // of those who have shown a certificate over TLS
	strangers guard // of those who have not, yet
	denials   denials
	access    atomic.Pointer[grants]
	tls       atomic.Pointer[tls.Config]
}

// NewServer checks the configuration. Nothing is served before Serve.
func NewServer(c Config) (*Server, error) {
	if c.Backend == nil || c.Audit == nil {
		return nil, errors.New("control: Config.Backend and Config.Audit are needed")
	}
	c.MaxClients, c.MaxPerClient = cmp.Or(c.MaxClients, 128), cmp.Or(c.MaxPerClient, 16)
	c.ActionTimeout, c.Heartbeat = cmp.Or(c.ActionTimeout, 2*time.Minute), cmp.Or(c.Heartbeat, 15*time.Second)
	c.IOTimeout = cmp.Or(c.IOTimeout, 10*time.Second)
	if c.MaxClients < 0 || c.MaxPerClient < 0 || c.ActionTimeout < 0 || c.Heartbeat < 0 || c.IOTimeout < 0 {
		return nil, errors.New("control: Config has a negative limit")
	}
	s := &Server{
		backend: c.Backend, log: c.Audit, feed: c.Events, logger: c.Logger, config: c, mux: http.NewServeMux(),
	}
	for _, g := range []*guard{&s.local, &s.remote, &s.strangers} {
		g.all, g.each, g.now = c.MaxClients, c.MaxPerClient, map[string]int{}
	}
	if s.feed == nil {
		s.feed = NewFeed(1)
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	admit, err := s.PrepareAccess(c.Access)
	if err != nil {
		return nil, err
	}
	admit()
	s.tls.Store(c.TLS)
	for _, r := range routes {
		s.mux.Handle(r.method+" "+r.pattern, s.handler(r))
	}
	return s, nil
}

// PrepareAccess looks up the names of a. Who has which role changes when the function that it returns is called, also on connections that are open.
func (s *Server) PrepareAccess(a Access) (admit func(), err error) {
	g, err := a.compile()
	if err != nil {
		return nil, err
	}
	return func() { s.access.Store(g) }, nil
}

// SetTLS changes the certificates for connections that come from now on.
func (s *Server) SetTLS(c *tls.Config) { s.tls.Store(c) }

// Serve answers at ln until ctx ends, and closes it; the path of a unix socket stays, as the next agent may have bound it already.
// A listener that is no unix socket is served over TLS alone. At the end streams and waits are told so, and requests that
// change something are awaited for ten seconds; then their connections are closed, and they go on in the Backend.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	unix := ln.Addr().Network() == "unix"
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	if !unix && s.tls.Load() == nil {
		_ = ln.Close()
		return fmt.Errorf("serve control at %s: a listener that is no unix socket needs Config.TLS", ln.Addr())
	}
	l := &guarded{Listener: ln, guard: &s.local, admin: s.isAdmin}
	ln = l
	if !unix {
		l.guard = &s.strangers
		ln = tls.NewListener(ln, &tls.Config{
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.tls.Load(), nil },
		})
	}
	srv := &http.Server{
		Handler:                      s.known(http.NewCrossOriginProtection().Handler(http.HandlerFunc(s.dispatch))),
		DisableGeneralOptionsHandler: true, // it would answer without asking the handler
		ReadHeaderTimeout:            s.config.IOTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, connOf(c))
		},
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		_ = srv.Close()
		return fmt.Errorf("serve control at %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := srv.Shutdown(within); err != nil {
		_ = srv.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve control at %s: %w", ln.Addr(), err)
	}
	return nil
}

// isAdmin tells whether a peer is not to be kept out by a limit. Groups are not asked for: that may take long, and others wait.
func (s *Server) isAdmin(c *conn) bool {
	return c.peer != nil && s.access.Load().uids[c.peer.UID] == Admin
}
