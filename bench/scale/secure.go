package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/contrib/livetls"
	"github.com/handover-go/handover/handovertest"
)

// What becomes of HTTPS connections, for secureVariable.
const (
	livingOn = "livetls"    // they move
	drained  = "crypto/tls" // their clients make new ones
)

// pair makes a file with a certificate for the loopback address and its key, in a folder that the caller removes.
func pair() (dir, file string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "scale"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if dir, err = os.MkdirTemp("", "scale"); err != nil {
		return "", "", err
	}
	file = filepath.Join(dir, "pair.pem")
	return dir, file, os.WriteFile(file, both, 0o600)
}

// configured makes the configuration of a client.
type configured func() *tls.Config

// trusting is what clients of such a service are configured with. Each that resumes has tickets of its own.
func trusting(file string, resumed bool) (configured, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	one := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}
	return func() *tls.Config {
		if !resumed {
			return one
		}
		own := one.Clone()
		own.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		return own
	}, nil
}

// serveSecure is the service with TLS. Beside what handovertest's answers it has paths that say what it costs.
func serveSecure(ctx context.Context, address string) error {
	config := handover.Config{Logger: logger(slog.LevelInfo), Probation: 20 * time.Millisecond, DrainTimeout: time.Minute}
	if os.Getenv(secureVariable) == livingOn {
		config.TLSListener = livetls.Listener
	}
	p, err := handover.New(ctx, config)
	if err != nil {
		return err
	}
	ln, err := p.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", handovertest.HandlerFor(p.Generation))
	mux.HandleFunc("/bytes", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		_, _ = w.Write(zeros[:min(max(n, 0), len(zeros))])
	})
	mux.HandleFunc("/sink", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	mux.HandleFunc("/settle", func(http.ResponseWriter, *http.Request) {
		runtime.GC() // the first empties pools, the second what was in them
		debug.FreeOSMemory()
	})
	mux.HandleFunc("/allocations", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.Header().Set(allocationsHeader, strconv.FormatUint(m.Mallocs, 10))
	})
	srv := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	file := os.Getenv(pairVariable)
	if err := p.AttachTLS(srv, ln, file, file); err != nil {
		return err
	}
	return p.Run(ctx)
}

// zeros are what answers consist of.
var zeros [64 << 10]byte

// allocationsHeader says how often the service has allocated memory since it began.
const allocationsHeader = "Allocations"

// look asks the service for a path, on a connection of its own, and returns a header of the answer.
func (f *family) look(ctx context.Context, trust *tls.Config, path, header string) (string, error) {
	transport := &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+f.address+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	_ = resp.Body.Close()
	return resp.Header.Get(header), err
}

// alive is how many bytes of the service's memory remain once its garbage is collected.
func (f *family) alive(ctx context.Context, trust *tls.Config) (float64, error) {
	if _, err := f.look(ctx, trust, "/settle", ""); err != nil {
		return 0, err
	}
	bytes, err := memory(f.pid)
	return float64(bytes), err
}
