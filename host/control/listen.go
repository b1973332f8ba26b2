package control

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"

	"github.com/handover-go/handover/internal/platform"
)

// ListenUnix makes the agent's socket at path, whose directory must exist. A socket that nobody answers at is a dead process's, and
// is replaced. The caller owns the listener; closing it leaves the path.
//
// The mode is 0666: whoever can reach the directory may connect, and has no role unless Access names him. So who is denied is told
// so, and recorded, where a narrower mode would only refuse the connection.
func ListenUnix(path string) (*net.UnixListener, error) {
	ln, err := platform.Bind(path, 0o666)
	if err != nil {
		return nil, fmt.Errorf("listen at control socket %q: %w", path, err)
	}
	return ln, nil
}

// TLSConfig is that of a server: TLS 1.3, its own certificate, and from each client one that an authority of clientCA has signed.
// All three are PEM files.
func TLSConfig(certFile, keyFile, clientCA string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate of the control API: %w", err)
	}
	pool, err := readPool(clientCA)
	if err != nil {
		return nil, fmt.Errorf("read authorities for clients of the control API: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		// A session that is resumed skips the verification of the client's certificate, which may have expired by then.
		SessionTicketsDisabled: true,
	}, nil
}

func readPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}
