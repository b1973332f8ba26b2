package livetls_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/contrib/livetls"
)

// HTTPS whose connections go on in the next build.
func ExampleListener() {
	ctx := context.Background()
	p, err := handover.New(ctx, handover.Config{TLSListener: livetls.Listener})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := p.Listen(ctx, "tcp", ":8443")
	if err != nil {
		log.Fatal(err)
	}
	if err := p.AttachTLS(&http.Server{Handler: http.DefaultServeMux}, ln, "cert.pem", "key.pem"); err != nil {
		log.Fatal(err)
	}
	log.Fatal(p.Run(ctx))
}

// A protocol of one's own over TLS, here of lines that are echoed, whose connections go on in the next build.
func ExampleListen() {
	ctx := context.Background()
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		log.Fatal(err)
	}
	err = p.Sessions("lines/1", func(s *handover.Session) error {
		in := bufio.NewReader(s)
		for {
			if err := s.Wait(in.Buffered()); errors.Is(err, handover.ErrLetGo) {
				unread, _ := in.Peek(in.Buffered())
				return s.LetGo(nil, unread)
			} else if err != nil {
				return err
			}
			line, err := in.ReadString('\n')
			if err != nil {
				return err
			}
			if _, err := fmt.Fprint(s, line); err != nil {
				return err
			}
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}
	below, err := p.Listen(ctx, "tcp", ":7443")
	if err != nil {
		log.Fatal(err)
	}
	ln, err := livetls.Listen(p, below, &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return // another generation serves for good
			}
			go func() { _ = p.ServeSession("lines/1", c, nil) }()
		}
	}()
	log.Fatal(p.Run(ctx))
}
