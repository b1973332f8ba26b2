package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/contrib/livetls"
)

// clientAuth are the modes that $TLS_CLIENT_AUTH can name.
var clientAuth = map[string]tls.ClientAuthType{
	"": tls.NoClientCert, "request": tls.RequestClientCert, "any": tls.RequireAnyClientCert, "given": tls.VerifyClientCertIfGiven,
	"require": tls.RequireAndVerifyClientCert,
}

// secured is what the environment says about TLS: authorities of clients in the file $TLS_CLIENT_CA, and what is asked of clients by $TLS_CLIENT_AUTH, a mode
// or the path of a file that has one, by default "require" where there are authorities; how far ahead the clock is by which their certificates are good, as the file $TLS_CLOCK says then; $TLS_NO_TICKETS; a key log in the file $TLS_KEY_LOG; and configurations by a function if $TLS_CHOOSES is set, which
// logs that it was called. The flaw "suspicious" lets nobody in who has a certificate, by VerifyConnection.
func secured(p *handover.Process) (*tls.Config, error) {
	c := &tls.Config{SessionTicketsDisabled: os.Getenv("TLS_NO_TICKETS") != ""}
	mode := os.Getenv("TLS_CLIENT_AUTH")
	if strings.HasPrefix(mode, "/") {
		text, err := os.ReadFile(mode)
		if err != nil {
			return nil, err
		}
		mode = string(text)
	}
	known := false
	if c.ClientAuth, known = clientAuth[mode]; !known {
		return nil, fmt.Errorf("TLS_CLIENT_AUTH=%q: no such mode", mode)
	}
	if file := os.Getenv("TLS_CLIENT_CA"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if c.ClientCAs = x509.NewCertPool(); !c.ClientCAs.AppendCertsFromPEM(text) {
			return nil, errors.New("no authority in " + file)
		}
		if mode == "" {
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	if file := os.Getenv("TLS_CLOCK"); file != "" {
		c.Time = func() time.Time {
			text, _ := os.ReadFile(file)
			ahead, _ := time.ParseDuration(string(text))
			return time.Now().Add(ahead)
		}
	}
	if flaw == "suspicious" {
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) > 0 {
				return errors.New("this build lets nobody in")
			}
			return nil
		}
	}
	if file := os.Getenv("TLS_KEY_LOG"); file != "" {
		log, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		c.KeyLogWriter = log
	}
	if os.Getenv("TLS_CHOOSES") == "" {
		return c, nil
	}
	return chooses(p, c)
}

// chooses has the configuration come by GetConfigForClient.
func chooses(p *handover.Process, c *tls.Config) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(os.Getenv("TLS_CERT"), os.Getenv("TLS_KEY"))
	if err != nil {
		return nil, err
	}
	c.Certificates, c.NextProtos = []tls.Certificate{pair}, []string{"http/1.1"}
	if err := p.CarryTickets("chosen", c); err != nil {
		return nil, err
	}
	return &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		fmt.Fprintf(os.Stderr, "msg=%q pid=%d server=%q\n", "configuration chosen", os.Getpid(), hello.ServerName)
		if hello.ServerName == "panic.test" {
			panic("no configuration for " + hello.ServerName)
		}
		return c, nil
	}}, nil
}

// client answers "PID CERTIFICATES CHAINS NAME RESUMED EXPORTS" of the request's connection: how many certificates its client has, the chains that they
// have here, the name in the first; whether the session was resumed; whether keying material can be exported.
func client(w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil {
		http.Error(w, "no TLS", http.StatusBadRequest)
		return
	}
	name := "-"
	if given := r.TLS.PeerCertificates; len(given) > 0 {
		name = given[0].Subject.CommonName
	}
	_, err := r.TLS.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	fmt.Fprintln(w, os.Getpid(), len(r.TLS.PeerCertificates), len(r.TLS.VerifiedChains), name, r.TLS.DidResume, err == nil)
}

// tlsListener has HTTPS connections live on, if $LIVETLS is set.
func tlsListener() handover.TLSListener {
	if os.Getenv("LIVETLS") == "" || flaw == "drained" {
		return nil
	}
	return livetls.Listener
}

// wrap has the program speak TLS on a listener by itself.
func wrap(p *handover.Process, ln net.Listener) (net.Listener, error) {
	pair, err := tls.LoadX509KeyPair(os.Getenv("TLS_CERT"), os.Getenv("TLS_KEY"))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if err := p.CarryTickets("wrapped", config); err != nil {
		return nil, err
	}
	return tls.NewListener(ln, config), nil
}
