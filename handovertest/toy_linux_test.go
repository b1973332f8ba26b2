package handovertest_test

import (
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/handover-go/handover/handovertest"
)

// roleEnv makes this test binary a service.
const roleEnv = "HANDOVERTEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "":
		os.Exit(m.Run())
	case "racy":
		os.Stderr.WriteString("WARNING: DATA RACE\n")
		serveUntilReplaced(true)
	case "leaves":
		serveUntilReplaced(true)
	case "stays":
		serveUntilReplaced(false)
	}
}

// serveUntilReplaced is the simplest service that can be upgraded: the listener
// is inherited, and a generation that was replaced serves what it has accepted.
// Its idle connections do not move on, so that it suits clients which open one
// for each request.
func serveUntilReplaced(leaves bool) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2, syscall.SIGTERM)
	ln, inherited := listen()
	var open sync.WaitGroup
	srv := &http.Server{Handler: handovertest.Handler(), ConnState: func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Done()
		}
	}}
	if err := handovertest.RecordAccepts(srv); err != nil {
		slog.Error("record accepts", "error", err)
		os.Exit(1)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		srv.Serve(ln)
	}()
	if inherited {
		// Tells the parent, which then no longer accepts.
		syscall.Kill(os.Getppid(), syscall.SIGTERM)
	}
	replaced := false
	for s := range signals {
		if s == syscall.SIGTERM {
			break
		}
		file, err := ln.(*net.TCPListener).File()
		if err != nil {
			slog.Error("pass listener", "error", err)
			os.Exit(1)
		}
		successor := exec.Command(os.Args[0])
		successor.Stdout, successor.Stderr = os.Stdout, os.Stderr
		successor.ExtraFiles = []*os.File{file}
		successor.Env = append(os.Environ(), "HANDOVERTEST_INHERITED=3")
		if err := successor.Start(); err != nil {
			slog.Error("start successor", "error", err)
		}
		file.Close()
		replaced = true
	}
	if !leaves {
		<-make(chan struct{})
	}
	ln.Close()
	<-served
	if replaced {
		slog.Info("serving: the handover is final", "pid", os.Getpid())
	}
	open.Wait()
}

func listen() (net.Listener, bool) {
	var ln net.Listener
	var err error
	inherited := os.Getenv("HANDOVERTEST_INHERITED") != ""
	if inherited {
		ln, err = net.FileListener(os.NewFile(3, "listener"))
	} else {
		ln, err = net.Listen("tcp", os.Args[1])
	}
	if err != nil {
		slog.Error("listen", "error", err)
		os.Exit(1)
	}
	return ln, inherited
}

// toy returns this test binary as a service.
func toy(t *testing.T, role string) handovertest.Service {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	address := handovertest.FreeAddress(t)
	return handovertest.Service{
		Path: executable, Args: []string{address}, Address: address, Env: []string{
			roleEnv + "=" + role,
			"GORACE=atexit_sleep_ms=0", // else each process takes a second to leave
		},
	}
}
