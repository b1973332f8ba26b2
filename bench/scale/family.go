package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience bounds each wait for something that takes milliseconds.
const patience = 30 * time.Second

// family is a service, as its generations come and go.
type family struct {
	address string
	pid     int // of the one that serves
	lines   chan line
	first   *exec.Cmd
	out     io.Closer
}

// line is one line of a service's log.
type line struct {
	at   time.Time
	text string
}

// start runs the service on a free address.
func start(ctx context.Context, env ...string) (*family, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &family{address: free.Addr().String(), lines: make(chan line, 4096)}
	if err := free.Close(); err != nil {
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	f.out = out
	f.first = self("service", append(env, addressVariable+"="+f.address)...)
	f.first.Stdout, f.first.Stderr = in, in
	if err := f.first.Start(); err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	f.pid = f.first.Process.Pid
	go f.read(out)
	if err := in.Close(); err != nil {
		return nil, err
	}
	_, err = f.await(ctx, "msg=", "serving")
	return f, err
}

// self is this program in another role.
func self(role string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), env...), roleVariable+"="+role)
	return cmd
}

// read ends when the last generation has.
func (f *family) read(out io.Reader) {
	defer close(f.lines)
	for s := bufio.NewScanner(out); s.Scan(); {
		at := time.Now()
		if ns, err := strconv.ParseInt(field(s.Text(), "time"), 10, 64); err == nil {
			at = time.Unix(0, ns)
		}
		f.lines <- line{at, s.Text()}
	}
}

// await waits for a line with all these words.
func (f *family) await(ctx context.Context, words ...string) (line, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		select {
		case l, ok := <-f.lines:
			if !ok {
				return line{}, fmt.Errorf("the service ended before it wrote %q", words)
			}
			if l.has(words...) {
				return l, nil
			}
		case <-ctx.Done():
			return line{}, fmt.Errorf("the service has not written %q: %w", words, ctx.Err())
		}
	}
}

func (l line) has(words ...string) bool {
	for _, w := range words {
		if !strings.Contains(l.text, w) {
			return false
		}
	}
	return true
}

// field returns the value of a key in a line of slog's TextHandler.
func field(text, key string) string {
	for word := range strings.FieldsSeq(text) {
		if value, ok := strings.CutPrefix(word, key+"="); ok {
			return value
		}
	}
	return ""
}

// upgraded is what the log tells of one upgrade.
type upgraded struct {
	ready, freeze time.Duration // the incumbent's own figures: until the successor was ready, and while nobody accepted
	trail         []line        // all that was written, from the signal until both sides have said that it is final
	asked         time.Time
	final         time.Time // the incumbent begins to leave
}

// upgrade replaces the generation that serves, and returns when both sides say that it is final.
func (f *family) upgrade(ctx context.Context) (u upgraded, err error) {
	u.asked = time.Now()
	if err := syscall.Kill(f.pid, syscall.SIGUSR2); err != nil {
		return u, err
	}
	for old, next := false, 0; !old || next == 0; {
		l, err := f.await(ctx)
		if err != nil {
			return u, err
		}
		u.trail = append(u.trail, l)
		switch {
		case l.has(`msg="handover final"`):
			old, u.final = true, l.at
			u.ready, _ = time.ParseDuration(field(l.text, "ready"))
			u.freeze, _ = time.ParseDuration(field(l.text, "switch"))
		case l.has(`msg="serving: the handover is final"`):
			next, _ = strconv.Atoi(field(l.text, "pid"))
		case l.has(`msg="handover aborted`), l.has("taken back"):
			return u, fmt.Errorf("the upgrade failed: %s", l.text)
		}
		if next != 0 {
			f.pid = next
		}
	}
	return u, nil
}

// end ends the service, and waits until the last of its processes has gone.
func (f *family) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	if err := syscall.Kill(f.pid, syscall.SIGTERM); err != nil {
		return err
	}
	for {
		select {
		case _, ok := <-f.lines:
			if ok {
				continue
			}
			_ = f.first.Wait() // a generation that handed over may exit as it likes
			return f.out.Close()
		case <-ctx.Done():
			return fmt.Errorf("the service has not ended: %w", ctx.Err())
		}
	}
}

// memory returns how many bytes of a process are its own, in RAM.
func memory(pid int) (bytes int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(l, "Anonymous:"); ok {
			var kib int64
			_, err := fmt.Sscan(rest, &kib)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d: no Anonymous in smaps_rollup", pid)
}
