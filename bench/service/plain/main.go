// Command plain is the service on net/http alone. SIGTERM ends it, by Shutdown.
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os/signal"
	"syscall"

	"github.com/handover-go/handover/bench/service"
)

func main() {
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	service.Prepare()
	ln, err := net.Listen("tcp", service.Address())
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: service.Handler()}
	ended := make(chan struct{})
	context.AfterFunc(told, func() {
		defer close(ended)
		ctx, cancel := context.WithTimeout(context.Background(), service.DrainTimeout)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			log.Println("shutdown:", err)
		}
	})
	service.Serving()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-ended
}
