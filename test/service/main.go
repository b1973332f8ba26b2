// Command service is the service under test: it answers handovertest's clients, and has, where it was built with one, a flaw.
//
//	go build -ldflags "-X main.build=v2"
//
// It listens at $ADDR: addresses with commas between, paths and abstract names of unix sockets, and after "tls:" addresses where it speaks TLS, or, after
// "wrapped:", where the TLS is the program's own.
// What it wants of TLS, see secured.
// It answers lines at $SESSIONS, see traffic.Sessions, and WebSockets at /ws. It answers datagrams at $PACKETS, after $PACKET_DELAY: see traffic.Packets.
// It counts the datagrams of each peer at $PEERS, knows $PEERS_FILLING, and has $FLAW there, if that is one of peers: see traffic.CountPeers.
// It listens as often at each of $ADDR, $SESSIONS and $PACKETS as the file $WORKERS says, in a group by SO_REUSEPORT; by plain TCP if $MULTIPATH is "off". It has no CAP_NET_ADMIN if $NET_ADMIN is.
// It leaves its directory before New if $CHDIR is "early", after it if "late", and removes its own executable if $UNLINK is set.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/handovertest"
	_ "github.com/handover-go/handover/test/internal/clock" // jumps in builds that want it to
	"github.com/handover-go/handover/test/traffic"
)

var (
	build = "v1"
	// flaw is what the file says behind the program, one of
	//   exit          ends with status 1 before it calls New
	//   hang          never calls Run
	//   check         fails its check
	//   unsure        its check ends only when it must
	//   deaf          its handlers never answer, once it serves
	//   crash         ends with status 3 at the tenth request after the commit
	//   late          ends with status 3 a second after the commit
	//   stuck         its background work ignores its context
	//   failing       its background work fails once it was asked for id=fail
	//   elsewhere     listens at another address
	//   options       asks for other socket options
	//   drained       has HTTPS connections drained, whatever $LIVETLS says
	//   suspicious    refuses clients that have a certificate, over TLS
	//   packetless    has no datagram sockets
	//   sessionless   knows no kind of session
	//   sessionsonly  knows them, and listens nowhere for new ones
	//   peersstrange  knows another kind of state of peers; and fails as "failing" does
	//   peersmute     cannot export any; and fails as "failing" does
	//   peersunread   cannot import any
	//   peersendless  never ends exporting any
	//   spin          from a request of id=spin on, no request has an answer, and each keeps a processor busy
	//   impatient     never calls Run; calls Upgrade at each SIGHUP, and says what comes of it
	flaw string
)

// knows are the flaws that builds have with the peers of datagram sockets.
var knows = map[string]traffic.PeersFlaw{
	"peersstrange": traffic.PeersStrange, "peersmute": traffic.PeersMute, "peersunread": traffic.PeersUnreadable, "peersendless": traffic.PeersEndless,
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("build", build, "from", os.Getpid()))
	if err := withoutNetAdmin(); err != nil {
		slog.Error("privileges not given up", "error", err)
		os.Exit(1)
	}
	var err error
	if flaw, err = appended(); err != nil && !errors.Is(err, fs.ErrPermission) { // who may only execute it, has none
		slog.Error("flaw not read", "error", err)
		os.Exit(1)
	}
	if flaw == "exit" {
		os.Exit(1)
	}
	if err := run(context.Background()); err != nil {
		slog.Error("service ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := move("early"); err != nil {
		return err
	}
	workers, err := workers()
	if err != nil {
		return err
	}
	p, err := handover.New(ctx, handover.Config{Check: check, ListenConfig: listenConfig(workers > 0), TLSListener: tlsListener()})
	if err != nil {
		return err
	}
	if err := move("late"); err != nil {
		return err
	}
	switch flaw {
	case "hang":
		select {}
	case "impatient":
		impatient(ctx, p)
	}
	addresses := strings.Split(os.Getenv("ADDR"), ",")
	if flaw == "elsewhere" {
		addresses = []string{"127.0.0.1:0"}
	}
	mux := http.NewServeMux()
	mux.Handle("/", flawed(control(p, cancel, traffic.Handler(p.Generation))))
	for _, address := range group(addresses, workers) {
		network := "tcp"
		address, secure := strings.CutPrefix(address, "tls:")
		address, wrapped := strings.CutPrefix(address, "wrapped:")
		if strings.HasPrefix(address, "/") || strings.HasPrefix(address, "@") {
			network = "unix"
		}
		ln, err := p.Listen(ctx, network, address)
		if err != nil {
			return err
		}
		if wrapped {
			if ln, err = wrap(p, ln); err != nil {
				return err
			}
		}
		srv := &http.Server{Handler: traffic.Tunnel(mux)}
		configure(srv)
		if err := handovertest.RecordAccepts(srv); err != nil {
			return err
		}
		if secure {
			if srv.TLSConfig, err = secured(p); err != nil {
				return err
			}
			err = p.AttachTLS(srv, ln, os.Getenv("TLS_CERT"), os.Getenv("TLS_KEY"))
		} else {
			err = p.Attach(srv, ln)
		}
		if err != nil {
			return err
		}
	}
	if flaw != "sessionless" {
		if err := errors.Join(traffic.Sessions(p), traffic.WebSockets(p, mux)); err != nil {
			return err
		}
	}
	if flaw != "sessionsonly" {
		if err := traffic.AcceptSessions(ctx, p, os.Getenv("SESSIONS")); err != nil {
			return err
		}
	}
	if flaw != "packetless" {
		delay, _ := time.ParseDuration(os.Getenv("PACKET_DELAY"))
		if err := traffic.Packets(ctx, p, group(strings.Fields(os.Getenv("PACKETS")), workers), delay); err != nil {
			return err
		}
	}
	if err := traffic.CountPeers(ctx, p, strings.Fields(os.Getenv("PEERS")), os.Getenv("PEERS_FILLING"), knows[cmp.Or(flaw, os.Getenv("FLAW"))]); err != nil {
		return err
	}
	p.WhileServing(func(ctx context.Context) error {
		fmt.Fprintf(os.Stderr, "msg=%q pid=%d\n", "background work begins", os.Getpid())
		switch flaw {
		case "failing", "peersstrange", "peersmute":
			select {
			case <-failure:
				return errors.New("background work has no luck")
			case <-ctx.Done():
				return nil
			}
		case "late":
			select {
			case <-time.After(time.Second):
				crash()
			case <-ctx.Done():
				return nil
			}
		case "stuck":
			select {}
		}
		<-ctx.Done()
		fmt.Fprintf(os.Stderr, "msg=%q pid=%d\n", "background work ends", os.Getpid())
		return nil
	})
	return p.Run(ctx)
}

// move does to directory and executable what the environment wants at that moment.
func move(moment string) error {
	if os.Getenv("CHDIR") == moment {
		if err := os.Chdir("/"); err != nil {
			return err
		}
	}
	if os.Getenv("UNLINK") == "" || moment != "early" {
		return nil
	}
	path, err := os.Executable()
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// configure sets what the environment says: durations of an http.Server, unencrypted HTTP/2, hooks, and, with $TELLS_IDLE, a line for each connection
// when net/http waits for its next request.
func configure(srv *http.Server) {
	for name, d := range map[string]*time.Duration{
		"READ_HEADER_TIMEOUT": &srv.ReadHeaderTimeout, "READ_TIMEOUT": &srv.ReadTimeout, "IDLE_TIMEOUT": &srv.IdleTimeout,
	} {
		*d, _ = time.ParseDuration(os.Getenv(name))
	}
	if os.Getenv("H2C") != "" {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	if os.Getenv("HOOKS") != "" {
		traffic.Hook(srv)
	}
	if os.Getenv("TELLS_IDLE") != "" {
		srv.ConnState = func(c net.Conn, s http.ConnState) {
			if s == http.StateIdle {
				slog.Info("connection idle", "client", c.RemoteAddr().String())
			}
		}
	}
}

// check asks the first listener of the generation that dial leads to for an answer.
func check(ctx context.Context, dial handover.DialFunc) error {
	if flaw == "check" {
		return errors.New("this build does not feel well")
	}
	if flaw == "unsure" {
		<-ctx.Done()
		return ctx.Err()
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "", "") },
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://service/?id=check", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}
