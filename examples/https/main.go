// Command https is an HTTPS service whose clients keep their connections, and notice nothing: over TLS 1.3 and HTTP/1.1 they go on in the next
// build. The certificate is read from $CERT and $KEY, cert.pem and key.pem by default, and again when the files change.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/contrib/livetls"
)

// build is set by: go build -ldflags "-X main.build=v2"
var build = "dev"

func main() {
	if err := serve(context.Background(), cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080")); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, address string) error {
	p, err := handover.New(ctx, handover.Config{TLSListener: livetls.Listener})
	if err != nil {
		return err
	}
	ln, err := p.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "build %s generation %d pid %d\n", build, p.Generation(), os.Getpid())
	})}
	if err := p.AttachTLS(srv, ln, cmp.Or(os.Getenv("CERT"), "cert.pem"), cmp.Or(os.Getenv("KEY"), "key.pem")); err != nil {
		return err
	}
	return p.Run(ctx)
}
