package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/handover-go/handover/host/internal/fake"
)

// terminal is a terminal of 24 by 120, and what was written to it.
type terminal struct {
	t           *testing.T
	user, lines *os.File // the end where a person sits, and the one of programs

	mu     sync.Mutex
	text   bytes.Buffer
	wrote  chan struct{} // something was written
	hangUp func()        // returns when all that was written is read
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
	fd := int(user.Fd())
	check(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	check(t, err)
	lines, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
	check(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}))
	term := &terminal{t: t, user: user, lines: lines, wrote: make(chan struct{}, 1)}
	var wait sync.WaitGroup
	wait.Go(term.listen)
	term.hangUp = sync.OnceFunc(func() {
		_ = lines.Close() // ends the reading with EIO, as the last of its end, when all is read
		wait.Wait()
		_ = user.Close()
	})
	t.Cleanup(term.hangUp)
	return term
}

func (term *terminal) listen() {
	part := make([]byte, 4096)
	for {
		n, err := term.user.Read(part)
		if err != nil {
			return
		}
		term.mu.Lock()
		term.text.Write(part[:n])
		term.mu.Unlock()
		select {
		case term.wrote <- struct{}{}:
		default:
		}
	}
}

func (term *terminal) written() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.text.String()
}

// await waits until something was written.
func (term *terminal) await(ctx context.Context, what string) {
	term.t.Helper()
	for !strings.Contains(term.written(), what) {
		select {
		case <-term.wrote:
		case <-ctx.Done():
			term.t.Fatalf("%q does not come, but %q", what, term.written())
		}
	}
}

func (term *terminal) modes() *unix.Termios {
	term.t.Helper()
	m, err := unix.IoctlGetTermios(int(term.lines.Fd()), unix.TCGETS)
	check(term.t, err)
	return m
}

func TestTopLeavesTheTerminalAsItWas(t *testing.T) {
	for name, end := range map[string]func(*terminal, *exec.Cmd, *fake.Agent){
		"by its key":  func(term *terminal, _ *exec.Cmd, _ *fake.Agent) { _, _ = term.user.WriteString("q") },
		"by a signal": func(_ *terminal, c *exec.Cmd, _ *fake.Agent) { _ = c.Process.Signal(syscall.SIGTERM) },
		"without its agent": func(term *terminal, c *exec.Cmd, a *fake.Agent) {
			check(term.t, a.Close())
			_, _ = term.user.WriteString("\x03")
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			dir, err := fake.Dir(t.TempDir())
			check(t, err)
			agent, err := fake.StartAgent(dir, "several")
			check(t, err)
			if name != "without its agent" {
				defer func() { check(t, agent.Close()) }()
			}
			term := newTerminal(t)
			before := term.modes()

			c := exec.CommandContext(ctx, os.Args[0])
			c.Args = []string{"handover", "--runtime-dir", dir, "top"}
			c.Env = append(os.Environ(), "TERM=xterm-256color", "GORACE=atexit_sleep_ms=0", "HANDOVER_AGENT=")
			c.Stdin, c.Stdout, c.Stderr = term.lines, term.lines, term.lines
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			check(t, c.Start())
			term.await(ctx, "shop has answered")
			end(term, c, agent)
			if err := c.Wait(); err != nil {
				t.Errorf("handover top: %v\n%s", err, term.written())
			}
			if after := term.modes(); !reflect.DeepEqual(before, after) {
				t.Errorf("the terminal is left with the modes %+v, not %+v", after, before)
			}
			term.hangUp()
			for on, off := range map[string]string{"\x1b[?1049h": "\x1b[?1049l", "\x1b[?25l": "\x1b[?25h"} {
				text := term.written()
				if !strings.Contains(text, on) || strings.LastIndex(text, on) > strings.LastIndex(text, off) {
					t.Errorf("%q was not undone by %q: %q", on, off, text)
				}
			}
		})
	}
}
