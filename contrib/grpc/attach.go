package handovergrpc

import (
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/handover-go/handover"
)

// Option is a wish about an attached server.
type Option func(*service)

// WithHealth has hs answer NOT_SERVING, for every service that it knows, in a generation that drains: never in a successor or
// an incumbent that stands by, and later than GOAWAY. From then on hs ignores what is set. Until then
// its answers are the program's own; [health.NewServer] begins with SERVING.
func WithHealth(hs *health.Server) Option { return func(s *service) { s.health = hs } }

// Attach has server serve on ln while [handover.Process.Run] runs. ln is one that [handover.Process.Listen] returned, or stands
// on one; TLS is best left to the server's own credentials. Services may be registered until Run is called. From then on
// the server belongs to p: it is stopped when this generation ends, and if it ends before, so does the service, or a
// successor is taken back.
//
// Attach must be called before Run, and once for a server: it listens in one place. A service that listens in several has a
// server for each.
//
// Run returns when connections have gone, by themselves or cut at a deadline, and the server is stopped. Handlers that still
// run, though the contexts of their calls have ended, have a second; those of a server with [grpc.WaitForHandlers] are
// awaited.
func Attach(p *handover.Process, server *grpc.Server, ln net.Listener, options ...Option) error {
	s := newService(p, server, ln)
	for _, option := range options {
		option(s)
	}
	return s.attach()
}
