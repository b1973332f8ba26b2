package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/handover-go/handover"
)

// serviceVariable makes this program the service that is upgraded, at that address.
const serviceVariable = "HANDOVER_BENCH_SERVE"

func serveIdle(address string) {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	p, err := handover.New(ctx, handover.Config{Logger: log, Probation: 200 * time.Millisecond, DrainTimeout: time.Minute})
	if err != nil {
		fail(err)
	}
	ln, err := p.Listen(ctx, "tcp", address)
	if err != nil {
		fail(err)
	}
	if err := p.Attach(&http.Server{Handler: http.HandlerFunc(handler)}, ln); err != nil {
		fail(err)
	}
	if err := p.Run(ctx); err != nil {
		fail(err)
	}
}

// migrate has a service with idle connections hand over, and measures from FINAL until the last one has moved.
func migrate(connections int) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serviceVariable+"="+address)
	cmd.Stdout, cmd.Stderr = in, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = in.Close()
	lines := bufio.NewScanner(out)
	if _, err := await(lines, "msg=serving"); err != nil {
		return err
	}
	conns := make([]net.Conn, connections)
	buf := make([]byte, 4096)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", address); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		defer conns[i].Close()
		if err := askOnce(conns[i], buf); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		return err
	}
	began, err := await(lines, `msg="handover final"`)
	if err != nil {
		return err
	}
	successor := field(began.line, "pid=")
	ended, err := await(lines, `msg="draining generation has finished"`)
	if err != nil {
		return err
	}
	took := ended.at.Sub(began.at)
	fmt.Printf("migration: %d idle connections in %s: %.0f a second, %.0f µs each\n", connections, took.Round(time.Millisecond),
		float64(connections)/took.Seconds(), float64(took.Microseconds())/float64(connections))
	for i, c := range conns {
		if err := askOnce(c, buf); err != nil {
			return fmt.Errorf("connection %d after its migration: %w", i, err)
		}
	}
	fmt.Printf("  every one answers in the next process\n")
	_ = cmd.Wait()
	var pid int
	if _, err := fmt.Sscan(successor, &pid); err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGTERM)
}

type seen struct {
	line string
	at   time.Time // as the service's log has it
}

// await reads lines until one has what is wanted.
func await(lines *bufio.Scanner, wanted string) (seen, error) {
	for lines.Scan() {
		if line := lines.Text(); strings.Contains(line, wanted) {
			at, err := time.Parse("2006-01-02T15:04:05.999Z07:00", field(line, "time="))
			return seen{line, at}, err
		}
	}
	return seen{}, fmt.Errorf("the service ended before it said %s", wanted)
}

func field(line, key string) string {
	_, rest, _ := strings.Cut(line, " "+key)
	if strings.HasPrefix(line, key) {
		rest = line[len(key):]
	}
	value, _, _ := strings.Cut(rest, " ")
	return value
}
