package handover

import (
	"context"
	"net"
	"net/http"
)

// ListenAndServe is [http.ListenAndServe] for a service that is upgraded by SIGUSR2. It returns [http.ErrServerClosed] after a
// graceful end and after a completed handover; the process may then exit as it likes. It is called once in a program; one
// with more to say uses [New].
func ListenAndServe(addr string, handler http.Handler) error {
	if addr == "" {
		addr = ":http"
	}
	return serve(addr, func(p *Process, ln net.Listener) error {
		return p.Attach(&http.Server{Handler: handler}, ln)
	})
}

// ListenAndServeTLS is [http.ListenAndServeTLS], as [ListenAndServe] is http.ListenAndServe.
func ListenAndServeTLS(addr, certFile, keyFile string, handler http.Handler) error {
	if addr == "" {
		addr = ":https"
	}
	return serve(addr, func(p *Process, ln net.Listener) error {
		return p.AttachTLS(&http.Server{Handler: handler}, ln, certFile, keyFile)
	})
}

// serve runs a service of one listener.
func serve(addr string, attach func(*Process, net.Listener) error) error {
	ctx := context.Background()
	p, err := New(ctx, Config{})
	if err != nil {
		return err
	}
	ln, err := p.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	if err := attach(p, ln); err != nil {
		return err
	}
	if err := p.Run(ctx); err != nil {
		return err
	}
	return http.ErrServerClosed
}
