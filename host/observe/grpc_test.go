package observe_test

import (
	"crypto/tls"
	"net"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/handover-go/handover/host/observe"
)

// serveHealth is grpc-go's own health server.
func serveHealth(t *testing.T, network, address string, options ...grpc.ServerOption) (*health.Server, observe.Where) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	server, state := grpc.NewServer(options...), health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, state)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return state, observe.Where{Network: network, Address: ln.Addr().String()}
}

func TestGRPCAsksForHealth(t *testing.T) {
	state, at := serveHealth(t, "tcp", "127.0.0.1:0")
	well(t, observe.GRPC{Name: "x", Where: at}, true, `service "": SERVING`)
	well(t, observe.GRPC{Name: "x", Where: at, Service: "shop"}, false, "gRPC status 5: unknown service")
	state.SetServingStatus("shop", grpc_health_v1.HealthCheckResponse_SERVING)
	well(t, observe.GRPC{Name: "x", Where: at, Service: "shop"}, true, `service "shop": SERVING`)
	state.SetServingStatus("shop", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	well(t, observe.GRPC{Name: "x", Where: at, Service: "shop"}, false, `service "shop": NOT_SERVING`)
	state.SetServingStatus("shop", grpc_health_v1.HealthCheckResponse_UNKNOWN)
	well(t, observe.GRPC{Name: "x", Where: at, Service: "shop"}, false, `service "shop": UNKNOWN`)
}

func TestGRPCOverAUnixSocketAndTLS(t *testing.T) {
	_, at := serveHealth(t, "unix", filepath.Join(t.TempDir(), "s"))
	well(t, observe.GRPC{Name: "x", Where: at}, true, "SERVING")

	other := httptest.NewTLSServer(site)
	defer other.Close()
	keys := credentials.NewTLS(&tls.Config{Certificates: other.TLS.Certificates})
	_, at = serveHealth(t, "tcp", "127.0.0.1:0", grpc.Creds(keys))
	well(t, observe.GRPC{Name: "x", Where: at, TLS: true}, false, "certificate")
	well(t, observe.GRPC{Name: "x", Where: at, TLS: true, Insecure: true}, true, "SERVING")
}

func TestGRPCOfWhatIsNoGRPCServer(t *testing.T) {
	server := httptest.NewServer(site)
	defer server.Close()
	well(t, observe.GRPC{Name: "x", Where: observe.Where{Address: server.Listener.Addr().String()}}, false, "ask for health")

	second := httptest.NewUnstartedServer(site)
	second.EnableHTTP2 = true
	second.StartTLS()
	defer second.Close()
	at := observe.Where{Address: second.Listener.Addr().String()}
	well(t, observe.GRPC{Name: "x", Where: at, TLS: true, Insecure: true}, false, "no gRPC server: status 200")

	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects by its queue, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	at.Address = silent.Addr().String()
	well(t, observe.GRPC{Name: "x", Where: at, Timeout: 50 * time.Millisecond}, false, "no answer within 50ms")
}
