package handover

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// Process is one generation of a service. Make it with [New], give it listeners, servers and background work, then call
// [Process.Run].
//
// What a handover does not cover: connections of listeners that are wrapped (by TLS, a PROXY protocol, a limit) do not move
// to the next generation, they are finished in the one that has them; so are hijacked ones, HTTP/2 (whose clients are told
// by GOAWAY) and those of servers that were not attached, unless they are served as sessions ([Process.Sessions]). Memory does not move, but for what is registered with
// [Process.CarryPeers]. SIGUSR2 before New ends the process, as in any Go program.
type Process struct {
	config   Config
	pid      int
	started  time.Time
	build    wire.Build
	launch   launch
	sockets  *sockets
	sessions *sessions
	work     work
	life     *life

	freezing   broadcast
	draining   broadcast
	generation atomic.Int64
	notifier   notifier
	door       *door
	before     *executable // of the generation before, if this one succeeded it

	upgrades chan os.Signal // caught from New on: uncaught, they would end the process

	context context.Context // of everything in the background; ends when Run returns
	cancel  context.CancelFunc

	acquaintances []*acquaintance // what it knows of the peers of datagram sockets; constant from Run on

	counts   counts
	tickets  *tickets
	expiring context.Context // ends when requests still in flight are about to be cut
	expire   context.CancelFunc
	wait     sync.WaitGroup

	liveTLS  atomic.Pointer[func() TLSFigures] // nil: there are none; set by Run, while the loop of life may be asked already
	mu       sync.Mutex
	servers  []*server
	running  bool
	prepared bool  // by Run: what serves is complete
	failed   error // why this generation cannot serve any longer
}

// New begins the life of a generation. If an incumbent started this process, or one of the same name serves on this host, it
// takes the incumbent's offer: its listeners are there for [Process.Listen] and [Process.ListenPacket]. New returns when it has them, after 10 seconds at most.
//
// Errors: those of the configuration; [ErrInProgress], [ErrDenied], [ErrNotReady] when an incumbent that was joined by name
// refuses; [ErrAborted] when the incumbent gave up, or cannot be understood. ctx bounds New alone.
func New(ctx context.Context, cfg Config) (*Process, error) {
	socket, err := inheritedLink(linkVariable)
	if err != nil {
		return nil, err
	}
	keeperSocket, err := inheritedLink(keeperVariable)
	if err != nil {
		disown(socket)
		return nil, err
	}
	p, err := newProcess(ctx, cfg, socket, keeperSocket)
	if err != nil {
		disown(socket, keeperSocket)
		return nil, err
	}
	return p, nil
}

// disown closes inherited links, if there are any: nobody at their other end is to wait for this process.
func disown(links ...*platform.Socket) {
	for _, link := range links {
		if link != nil {
			_ = link.Close()
		}
	}
}

func newProcess(ctx context.Context, cfg Config, socket, keeperSocket *platform.Socket) (*Process, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure handover: %w", err)
	}
	launch, err := newLaunch(cfg)
	if err != nil {
		return nil, err
	}
	p := &Process{
		config: cfg, pid: os.Getpid(), started: time.Now(), build: peer.OwnBuild(), sockets: newSockets(cfg.ListenConfig, cfg.Logger),
		launch: launch, notifier: newNotifier(cfg.Logger), tickets: newTickets(),
	}
	p.sessions = newSessions(p.sockets, cfg.Logger)
	p.generation.Store(1)
	p.upgrades = make(chan os.Signal, 1)
	if len(cfg.Signals.Upgrade) > 0 {
		signal.Notify(p.upgrades, cfg.Signals.Upgrade...)
	}
	p.work.failed = p.fail
	p.door = newDoor(p)
	p.context, p.cancel = context.WithCancel(context.Background())
	p.expiring, p.expire = context.WithCancel(context.Background())
	incumbent, err := p.incumbent(ctx, socket)
	if err == nil {
		err = p.begin(ctx, incumbent, keeperSocket)
	}
	if err != nil {
		signal.Stop(p.upgrades)
		return nil, err
	}
	return p, nil
}

// incumbent finds whom this process is to succeed; nil if nobody serves.
func (p *Process) incumbent(ctx context.Context, socket *platform.Socket) (*peer.Peer, error) {
	switch {
	case off() || platform.Supported() != nil:
		return nil, nil
	case socket != nil:
		i, err := parent(socket)
		if i != nil {
			i.Assumed = true
		}
		return i, err
	case p.config.Name != "":
		return p.door.join(ctx)
	default:
		return nil, nil
	}
}

// parent is the process that made a link and started this one.
func parent(socket *platform.Socket) (*peer.Peer, error) {
	creds, err := platform.PeerCredentials(socket)
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("examine the link: %w", err)
	}
	proof, err := platform.OpenPidfd(creds.PID)
	if err != nil {
		_ = socket.Close()
		if errors.Is(err, syscall.ESRCH) {
			return nil, nil // it has died: this process is the service
		}
		return nil, fmt.Errorf("%w: the incumbent cannot be watched: %w", ErrAborted, err)
	}
	return &peer.Peer{Link: peer.NewLink(socket), Process: peer.Stranger(proof)}, nil
}

// begin begins the life: of a successor, if there is an incumbent.
func (p *Process) begin(ctx context.Context, incumbent *peer.Peer, keeperSocket *platform.Socket) error {
	l := newLife(p, starting)
	l.ofKeeper = keeperSocket != nil
	if l.ofKeeper && incumbent == nil {
		_ = keeperSocket.Close()
		return fmt.Errorf("%w: the keeper died before anyone had made an offer: another generation may serve", ErrAborted)
	}
	if l.ofKeeper {
		if err := l.parentKeeper(keeperSocket); err != nil {
			return fmt.Errorf("greet the keeper: %w", err)
		}
	}
	if incumbent != nil {
		l.state = joining
		return p.succeed(ctx, l, incumbent)
	}
	for _, a := range peer.Activation(p.config.Logger) {
		p.sockets.inherit([]*inherited{{spec: a.Spec, fd: a.FD}})
	}
	p.life = l
	go l.run()
	return nil
}

// succeed takes the incumbent's offer.
func (p *Process) succeed(ctx context.Context, l *life, incumbent *peer.Peer) error {
	l.peer = incumbent
	l.offer = &offer{complete: make(chan struct{}), takeover: -1}
	if err := l.greet(); err != nil {
		incumbent.Close()
		return fmt.Errorf("%w: %w", ErrAborted, err)
	}
	p.life = l
	complete := l.offer.complete
	incumbent.Observe(l.inbox, l.done)
	go l.run()
	select {
	case <-complete:
		return nil
	case <-l.done:
		return l.cause
	case <-ctx.Done():
		l.post(func() {
			l.cause = fmt.Errorf("take the incumbent's offer: %w", ctx.Err())
			l.raise(onAbort, "New was given up")
		})
		<-l.done
		return l.cause
	}
}

// Listen returns a listener for network ("tcp", "tcp4", "tcp6" or "unix") and address, as [net.Listen] does. If the incumbent
// listens there, it is the same socket. The incumbent's listeners are known by network and address as they were given to
// Listen, and where these are equal by their order, so ":0" and groups of equal addresses keep their identity.
//
// A group by SO_REUSEPORT, which ListenConfig asks for, has as many sockets as the first generation had listeners: where a build has
// fewer, each accepts what comes to more than one, and where it has more, several share a queue. No client is lost to either.
//
// Accept takes connections while this generation serves, and waits while it does not. It returns [net.ErrClosed] when
// another generation serves for good; where a server is attached, only when the last connection has gone. The connections it
// returns pass reads and writes through to a *net.TCPConn or *net.UnixConn, which their method NetConn returns for options
// they do not have. Listen must be called before Run.
func (p *Process) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return nil, fmt.Errorf("listen %s %s: Run was called already", network, address)
	}
	return p.sockets.listen(ctx, network, address)
}

// ListenPacket returns a datagram socket for network ("udp", "udp4", "udp6" or "unixgram") and address, as
// [net.ListenPacket] does. If the incumbent has it, it is the same socket, with the same queue; which one it is, is known as in
// Listen.
//
// Reads take datagrams while this generation serves, and wait while it does not: what arrives meanwhile stays queued in the
// kernel, for whoever reads next, up to the socket's receive buffer. Deadlines hold while they wait. Reads return
// [net.ErrClosed] when another generation serves for good. If that one has not adopted the socket, they first take what is
// queued; then the socket is closed, as it is when the program asks for no datagram in a second. Where others of its group
// (SO_REUSEPORT) were adopted, these get what comes meanwhile. A build with more of a group shares their queues.
//
// Writes never wait, so that a datagram is answered by the generation that has read it, which may write to an adopted socket
// until it has gone. Run waits, for no longer than a second, until who has read a datagram reads again, and not for handlers that run in
// goroutines of their own.
//
// The connection has the methods of *[net.UDPConn] or *[net.UnixConn], without File, CloseRead and CloseWrite. A type
// assertion to an interface leads to them, as to these two, which do not allocate:
//
//	conn := pc.(interface {
//		ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
//		WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
//	})
//
// SyscallConn's Read waits as reads do, so batches can be read through it; its Control must not be used to read.
// ListenPacket must be called before Run.
func (p *Process) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return nil, fmt.Errorf("listen %s %s: Run was called already", network, address)
	}
	return p.sockets.listenPacket(ctx, network, address)
}

// Attach has srv serve on ln while [Process.Run] runs. Requests that are in flight when another generation serves are
// answered; idle HTTP/1.1 connections move there if ln came from [Process.Listen] unwrapped. srv's ConnState, ConnContext,
// Handler, TLSNextProto and TLSConfig are extended when Run begins: what is set there until then goes on working. Attach must
// be called before Run.
func (p *Process) Attach(srv *http.Server, ln net.Listener) error {
	return p.attach(p.newServer(srv, ln))
}

// AttachTLS is Attach for a server that speaks TLS, as [http.Server.ServeTLS]. Its connections stay with the generation that
// accepted them; when another serves, HTTP/2 clients are sent GOAWAY, and HTTP/1.1 clients "Connection: close" with their
// next answer, or, where more requests have come already, with the last of them.
//
// Clients resume their sessions across handovers (see [Process.CarryTickets]), unless srv.TLSConfig disables session tickets, or
// has keys, WrapSession, UnwrapSession or GetConfigForClient: then tickets are the program's.
//
// certFile and keyFile may be replaced at any time, in any order, by rename, by writing or by turning a symbolic link: within a
// second, new connections have the new pair if both files can be read and belong together, and the old one until then. What
// is wrong with a pair is logged. Where both are empty, the certificate is srv.TLSConfig's.
func (p *Process) AttachTLS(srv *http.Server, ln net.Listener, certFile, keyFile string) error {
	s := p.newServer(srv, ln)
	s.secure, s.certFile, s.keyFile = true, certFile, keyFile
	return p.attach(s)
}

// CarryTickets has servers that use c make and open TLS session tickets with keys that travel from generation to generation,
// so that clients of all of them resume. [Process.AttachTLS] does so by itself; a program calls it for each tls.Config of its own,
// as for [tls.NewListener], before c is used, and at any time in the life of p. It sets WrapSession and UnwrapSession, which copies
// of c keep. What name says is one server, the same in every generation: a session that began with one name is resumed with no
// other.
//
// The first generation makes the keys; one is added each day, while no handover is under way, and kept for 7 days beyond its
// own, as crypto/tls does. They are nowhere but in memory: a service that crashes and is started anew has others. A
// configuration that GetConfigForClient returns needs a call of its own.
//
// Errors: c disables tickets, or has keys or functions for them already, set by the program or because it was used.
func (p *Process) CarryTickets(name string, c *tls.Config) error {
	if managesTickets(c) {
		return fmt.Errorf("carry tickets of %q: the configuration disables session tickets, or has its own keys or functions for them", name)
	}
	if err := p.tickets.share("program "+name, c); err != nil {
		return fmt.Errorf("carry tickets: %w", err)
	}
	return nil
}

func (p *Process) attach(s *server) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return errors.New("attach server: Run was called already")
	}
	p.servers = append(p.servers, s)
	return nil
}

// WhileServing has fn run while this generation serves, and at most one generation at a time runs it: its context ends before
// the commit of a handover, and the successor begins only after fn has returned. After a handover that came to nothing, fn is called
// again. An error that fn returns before its context has ended ends the service, or has the successor taken back.
// fn must return soon after its context has ended: past Config.FreezeTimeout the handover is aborted.
func (p *Process) WhileServing(fn func(ctx context.Context) error) { p.work.add(fn) }

// Run serves. A first generation runs its check and serves; a successor declares itself ready, serves when the incumbent
// commits, and is the incumbent when the handover is final. Run returns when this generation has gone: nil after a graceful
// end (ctx or a signal) and after a completed handover, else an error that wraps what happened: [ErrAborted] for a
// successor that did not get to serve, [ErrResumed] for one that was taken back. It is called once.
//
// Everything that was begun has ended then: servers are stopped, listeners closed, background work has returned. What is
// not awaited: connections that were hijacked or accepted by the program itself, once Config.DrainTimeout is over; handlers of
// sessions are given a second more.
func (p *Process) Run(ctx context.Context) error {
	p.mu.Lock()
	if p.running {
		p.mu.Unlock()
		return errors.New("run: called twice")
	}
	p.running = true
	servers := p.servers
	p.mu.Unlock()
	defer p.cancel()

	for _, s := range servers {
		if err := s.prepare(); err != nil {
			p.life.post(func() {
				p.life.cause = err
				p.life.raise(onFailed, err.Error())
			})
			break
		}
	}
	p.mu.Lock()
	p.prepared = true
	p.mu.Unlock()
	stop := p.obeySignals(ctx)
	p.life.happen(onRun, "")
	<-p.life.done
	stop()
	p.cancel()
	for _, s := range servers {
		s.stop(context.WithoutCancel(ctx))
	}
	if left := p.sessions.await(stopTimeout); left > 0 {
		p.config.Logger.Warn("handlers of sessions are left behind: their connections are closed", "sessions", left)
	}
	p.wait.Wait()
	p.door.wait.Wait()
	p.notifier.Close()
	return p.life.cause
}

// Generation is the number of this generation: 1 for the first of the service's life. That of a successor is settled at its
// commit; until then it is the number it will probably get.
func (p *Process) Generation() int { return int(p.generation.Load()) }

func (p *Process) setGeneration(n int) { p.generation.Store(int64(n)) }

// Freezing returns a channel that is closed when a handover freezes this generation, so that long polls can answer early.
// After an abort or a resume a fresh channel takes its place.
func (p *Process) Freezing() <-chan struct{} { return p.freezing.wait() }

// Draining returns a channel that is closed when this generation will never accept again: it finishes what it holds. Long polls
// and streams that can be begun anew end well here. The context of a request goes on; [WithDrainDeadline] tells when what is left
// is about to be cut.
func (p *Process) Draining() <-chan struct{} { return p.draining.wait() }

// startServers begins to serve; the gates of the listeners are closed still.
func (p *Process) startServers() {
	for _, s := range p.servers {
		s.start(p.fail)
	}
	for _, sp := range p.sockets.spares() {
		p.life.background(p.context, sp.serve)
	}
}

// fail says that this generation cannot serve any longer.
func (p *Process) fail(err error) {
	select {
	case <-p.Draining():
		return // it need not any longer
	default:
	}
	p.mu.Lock()
	if p.failed == nil {
		p.failed = err
	}
	p.mu.Unlock()
	p.config.Logger.Error("this generation cannot serve", "error", err)
	p.life.happen(onFailed, err.Error())
}

func (p *Process) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// pause stops accepting on the listeners chosen, and background work.
func (p *Process) pause(ctx context.Context, choose func(*socket) bool) error {
	if err := p.sockets.park(ctx, choose); err != nil {
		return err
	}
	return p.work.end(ctx)
}

// unpause accepts and works again.
func (p *Process) unpause() {
	p.sockets.openGates()
	p.work.begin()
}

// leave says, to clients and to the program, that this generation will not serve again.
func (p *Process) leave() {
	p.draining.begin()
	for _, s := range p.servers {
		p.life.background(p.context, s.leave)
	}
	for _, ln := range p.sockets.all() {
		if !ln.attached && !ln.emptying {
			ln.release()
		}
	}
}

func (p *Process) hello(role wire.Role) wire.Hello {
	return wire.Hello{Protocol: wire.Protocols, Features: wire.Features(), Role: role, PID: p.pid, Build: p.build}
}
