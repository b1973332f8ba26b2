// Command tableflip is the service under cloudflare/tableflip, as its http_example_test.go shows it: an upgrade on SIGHUP, and
// Shutdown once the successor is ready.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/cloudflare/tableflip"

	"github.com/handover-go/handover/bench/service"
)

func main() {
	upg, err := tableflip.New(tableflip.Options{UpgradeTimeout: service.ReadyTimeout})
	if err != nil {
		log.Fatal(err)
	}
	defer upg.Stop()
	go func() {
		sig := make(chan os.Signal, 1)
		signal.Notify(sig, syscall.SIGHUP)
		for range sig {
			if err := upg.Upgrade(); err != nil {
				log.Println("upgrade failed:", err)
			}
		}
	}()
	ln, err := upg.Listen("tcp", service.Address())
	if err != nil {
		log.Fatal(err)
	}
	service.Prepare()
	server := &http.Server{Handler: service.Handler()}
	go func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	service.Serving()
	if err := upg.Ready(); err != nil {
		log.Fatal(err)
	}
	<-upg.Exit()
	ctx, cancel := context.WithTimeout(context.Background(), service.DrainTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Println("shutdown:", err)
	}
}
