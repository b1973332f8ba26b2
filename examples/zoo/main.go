// Command zoo is one service with every kind of traffic that handover knows, to be attacked while it is upgraded:
//
//	zoo -http ADDR -https ADDR -grpc ADDR -tcp ADDR -udp ADDR -unix PATH [-cert FILE -key FILE]
//
// HTTP and HTTPS (without -cert, with a certificate made at the start):
//
//	/              {"generation":N,"pid":P}
//	/slow?ms=      the same, that much later
//	/upload        how many bytes came
//	/stream?n=&ms= n numbered lines, so far apart
//	/ws            a WebSocket that echoes each message as COUNT MESSAGE
//
// TCP and the unix socket answer each line by COUNT LINE, UDP each datagram by GENERATION DATAGRAM, and gRPC is grpc-go's own interop
// TestService, with health. COUNT is of the connection, and goes on across upgrades, as the connection does.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"net/http"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/handover-go/handover"
	handovergrpc "github.com/handover-go/handover/contrib/grpc"
)

// cage is where each kind of traffic arrives; empty: nowhere.
type cage struct {
	http, https, grpc, tcp, udp, unix string
	cert, key                         string
}

func main() {
	var c cage
	flag.StringVar(&c.http, "http", "", "`address` for HTTP/1.1 and unencrypted HTTP/2")
	flag.StringVar(&c.https, "https", "", "`address` for HTTP/1.1 and HTTP/2 over TLS")
	flag.StringVar(&c.grpc, "grpc", "", "`address` for gRPC")
	flag.StringVar(&c.tcp, "tcp", "", "`address` for lines over TCP")
	flag.StringVar(&c.udp, "udp", "", "`address` for datagrams")
	flag.StringVar(&c.unix, "unix", "", "`path` for lines over a unix socket")
	flag.StringVar(&c.cert, "cert", "", "certificate `file` for HTTPS")
	flag.StringVar(&c.key, "key", "", "key `file` for HTTPS")
	flag.Parse()
	if flag.NArg() > 0 || (c.cert == "") != (c.key == "") {
		flag.Usage()
		os.Exit(2)
	}
	if err := c.serve(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func (c cage) serve(ctx context.Context) error {
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		return err
	}
	if err := p.Sessions(linesKind, answerLines); err != nil {
		return err
	}
	if err := p.Sessions(webSocketKind, echoMessages); err != nil {
		return err
	}
	for _, animal := range []struct {
		network, address string
		keep             func(net.Listener) error
	}{
		{"tcp", c.http, func(ln net.Listener) error { return p.Attach(webServer(p), ln) }},
		{"tcp", c.https, func(ln net.Listener) error { return c.attachTLS(p, ln) }},
		{"tcp", c.grpc, func(ln net.Listener) error { return attachGRPC(p, ln) }},
		{"tcp", c.tcp, func(ln net.Listener) error { go acceptLines(p, ln); return nil }},
		{"unix", c.unix, func(ln net.Listener) error { go acceptLines(p, ln); return nil }},
	} {
		if animal.address == "" {
			continue
		}
		ln, err := p.Listen(ctx, animal.network, animal.address)
		if err != nil {
			return err
		}
		if err := animal.keep(ln); err != nil {
			return err
		}
	}
	if c.udp != "" {
		packets, err := p.ListenPacket(ctx, "udp", c.udp)
		if err != nil {
			return err
		}
		go answerDatagrams(p, packets)
	}
	return p.Run(ctx)
}

func (c cage) attachTLS(p *handover.Process, ln net.Listener) error {
	srv := webServer(p)
	if c.cert == "" {
		var err error
		if srv.TLSConfig, err = selfSigned(); err != nil {
			return err
		}
	}
	return p.AttachTLS(srv, ln, c.cert, c.key)
}

func attachGRPC(p *handover.Process, ln net.Listener) error {
	server, hs := grpc.NewServer(), health.NewServer()
	healthgrpc.RegisterHealthServer(server, hs)
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	return handovergrpc.Attach(p, server, ln, handovergrpc.WithHealth(hs))
}

func webServer(p *handover.Process) *http.Server {
	srv := &http.Server{Handler: web(p), Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv
}
