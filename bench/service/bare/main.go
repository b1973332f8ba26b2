// Command bare does as little as a Go program can that is asked by a signal and at a socket: it logs the one, and gives back what comes to the
// other. Beside it the library's own answers are measured.
package main

import (
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/handover-go/handover/bench/service"
)

func main() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR2)
	ln, err := net.Listen("unix", service.Socket)
	if err != nil {
		log.Fatal(err)
	}
	go accept(ln)
	if ln, err = net.Listen("tcp", service.Address()); err != nil { // by which it is known that it runs
		log.Fatal(err)
	}
	go accept(ln)
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	for range told {
		logger.Info(service.Told)
	}
}

func accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}()
	}
}
