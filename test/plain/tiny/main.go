// Command tiny is a plain program: an HTTP server that takes its sockets from LISTEN_FDS and knows nothing of handover. What is
// wrong with it, the file says that is its argument.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) == 3 && os.Args[2] == "say" { // on behalf of its parent
		say("READY=1")
		return
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	how := strings.TrimSpace(string(text))
	if how == "unwell once" {
		if err := os.WriteFile(os.Args[1], nil, 0o644); err != nil {
			log.Fatal(err)
		}
		how = "unwell"
	}
	if how == "exit" {
		log.Fatal("this build is bad")
	}
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		log.Fatal("no socket for this process")
	}
	ln, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		log.Fatal(err)
	}
	unwell := how == "unwell" || how == "says so, unwell"
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
		if unwell {
			http.Error(w, "unwell", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("id")
		if id == "" {
			id = r.Header.Get("X-Request-Id")
		}
		fmt.Fprintf(w, "%s %d 0\n", id, os.Getpid())
	})
	srv := &http.Server{Handler: mux}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-term
		if how == "deaf" {
			<-make(chan struct{})
		}
		_ = srv.Shutdown(context.Background())
	}()
	switch how {
	case "says", "says so, unwell":
		say("STATUS=warm\nREADY=1\nMAINPID=1\n")
	case "child":
		if out, err := exec.Command(os.Args[0], os.Args[1], "say").CombinedOutput(); err != nil {
			log.Fatalf("%v: %s", err, out)
		}
	case "late": // ends by SIGUSR1, once it is ready
		late := make(chan os.Signal, 1)
		signal.Notify(late, syscall.SIGUSR1)
		say("READY=1")
		go func() {
			<-late
			os.Exit(3)
		}()
	case "hangs":
		select {}
	}
	_ = srv.Serve(ln)
	<-ended
}

func say(what string) {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.Write([]byte(what)); err != nil {
		log.Fatal(err)
	}
	// A sender that ends at once cannot be recognised: it waits for the barrier, as systemd-notify(1) does.
	if len(os.Args) == 3 {
		r, w, err := os.Pipe()
		if err != nil {
			log.Fatal(err)
		}
		u := c.(*net.UnixConn)
		if err := send(u, "BARRIER=1", w); err != nil {
			log.Fatal(err)
		}
		_ = w.Close()
		_, _ = r.Read(make([]byte, 1))
	}
}

func send(c *net.UnixConn, what string, f *os.File) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var fault error
	err = raw.Control(func(fd uintptr) {
		fault = syscall.Sendmsg(int(fd), []byte(what), syscall.UnixRights(int(f.Fd())), nil, 0)
	})
	if err != nil {
		return err
	}
	return fault
}
