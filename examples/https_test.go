package examples_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

func TestHTTPSClientKeepsItsConnection(t *testing.T) {
	trusting, files := certificate(t)
	address := handovertest.FreeAddress(t)
	ask := func(ctx context.Context, by *http.Transport) (a handovertest.Answer, err error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/", nil)
		if err != nil {
			return a, err
		}
		resp, err := by.RoundTrip(request)
		if err != nil {
			return a, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return a, err
		}
		return parse(resp, body)
	}
	service := startWho(t, "./https", address, func(ctx context.Context) (int, error) {
		a, err := ask(ctx, &http.Transport{TLSClientConfig: trusting, DisableKeepAlives: true})
		return a.PID, err
	}, files...)

	connections := 0
	client := &http.Transport{DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		connections++
		return (&tls.Dialer{Config: trusting}).DialContext(ctx, network, address)
	}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for generation := 1; generation <= 3; generation++ {
		if generation > 1 {
			before := service.PID()
			service.Upgrade(1)
			service.AwaitExit(before)
		}
		if a, err := ask(ctx, client); err != nil || a.Generation != generation {
			t.Fatalf("answered by generation %d, %v; want %d", a.Generation, err, generation)
		}
	}
	if connections != 1 {
		t.Errorf("the client has made %d connections", connections)
	}
}

// certificate is that of httptest for 127.0.0.1: for a client that trusts it, and as the files that a service reads.
func certificate(t *testing.T) (trusting *tls.Config, files []string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir, roots := t.TempDir(), x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for name, block := range map[string]*pem.Block{
		"CERT": {Type: "CERTIFICATE", Bytes: server.Certificate().Raw}, "KEY": {Type: "PRIVATE KEY", Bytes: key},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, name+"="+path)
	}
	return &tls.Config{RootCAs: roots}, files
}
