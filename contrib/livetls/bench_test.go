package livetls

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/handover-go/handover"
)

// BenchmarkHandshake has a client shake hands with a service, ask once and leave. What the client allocates is counted too.
func BenchmarkHandshake(b *testing.B) {
	for name, listener := range map[string]handover.TLSListener{"livetls": Listener, "crypto-tls": nil} {
		b.Run(name, func(b *testing.B) {
			trusting, client := configs(b)
			ctx, end := context.WithCancel(b.Context())
			p, err := handover.New(ctx, handover.Config{TLSListener: listener, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			ln, err := p.Listen(ctx, "tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			server := &http.Server{TLSConfig: trusting, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
			server.TLSConfig.NextProtos = []string{"http/1.1"}
			if err := p.AttachTLS(server, ln, "", ""); err != nil {
				b.Fatal(err)
			}
			ran := make(chan error)
			go func() { ran <- p.Run(ctx) }()
			b.ReportAllocs()
			for b.Loop() {
				c, err := tls.Dial("tcp", ln.Addr().String(), client)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n"); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadAll(c); err != nil {
					b.Fatal(err)
				}
				_ = c.Close()
			}
			end()
			if err := <-ran; err != nil {
				b.Fatal(err)
			}
		})
	}
}
