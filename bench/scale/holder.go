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
	"slices"
	"time"
)

// hold is a client with many connections, each of which has asked once. For each line on its standard input it asks on all of them
// again, and writes how many were answered; it leaves at the end of the input.
func hold(address string, count int) error {
	conns := make([]net.Conn, count)
	for i := range conns {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		defer c.Close()
		conns[i] = c
	}
	in := bufio.NewReader(nil)
	for commands := bufio.NewScanner(os.Stdin); ; {
		for i, c := range conns {
			in.Reset(c)
			if err := askOn(c, in); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
		}
		fmt.Println(len(conns), "answered")
		if !commands.Scan() {
			return commands.Err()
		}
	}
}

// holders are clients in processes of their own, as one has no descriptors for all.
type holders struct {
	commands []*exec.Cmd
	in       []io.WriteCloser
	out      []*bufio.Reader
	counts   []int
}

const perHolder = 4000

func startHolders(address string, connections int) (*holders, error) {
	h := &holders{}
	for left := connections; left > 0; left -= perHolder {
		n := min(left, perHolder)
		cmd := self("holder", addressVariable+"="+address, fmt.Sprintf("%s=%d", countVariable, n))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return h, err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return h, err
		}
		if err := cmd.Start(); err != nil {
			return h, err
		}
		h.commands, h.in, h.out, h.counts = append(h.commands, cmd), append(h.in, in), append(h.out, bufio.NewReader(out)), append(h.counts, n)
	}
	return h, h.answered()
}

// answered waits until every connection has had an answer.
func (h *holders) answered() error {
	for i, out := range h.out {
		var n int
		if _, err := fmt.Fscanln(out, &n, new(string)); err != nil || n != h.counts[i] {
			return fmt.Errorf("holder %d: %d of %d connections were answered: %w", i, n, h.counts[i], err)
		}
	}
	return nil
}

// ask asks on every connection again.
func (h *holders) ask() error {
	for _, in := range h.in {
		if _, err := io.WriteString(in, "\n"); err != nil {
			return err
		}
	}
	return h.answered()
}

func (h *holders) leave() error {
	var errs []error
	for i, cmd := range h.commands {
		errs = append(errs, h.in[i].Close(), cmd.Wait())
	}
	return errors.Join(errs...)
}

// idleConnections has connections that say nothing follow, ever more of them, while others work.
func idleConnections(ctx context.Context, s settings) error {
	const active, rate = 16, 50
	fmt.Printf("\n## Idle connections, while %d clients ask %d times a second each\n\n", active, rate)
	fmt.Println("| idle | moved in, ms | a second | switch, ms | p50 steady → moving, ms | p99 steady → moving, ms | ratio of p99 |\n|---|---|---|---|---|---|---|")
	var moved, frozen, steady99, moving99, own series
	for n := max(1, s.connections/16); n <= s.connections; n *= 2 {
		var took, switches series
		var calm, busy []time.Duration
		f, err := start(ctx)
		if err != nil {
			return err
		}
		h, err := startHolders(f.address, n)
		if err != nil {
			return errors.Join(err, h.leave())
		}
		p, err := startPulse(ctx, f.address, active, rate)
		if err != nil {
			return errors.Join(err, h.leave())
		}
		for range s.rounds {
			from := time.Now()
			rest := time.NewTimer(3 * time.Second) // the span that is measured
			<-rest.C
			calm = append(calm, p.within(from, time.Now())...)
			u, err := f.upgrade(ctx)
			if err != nil {
				return err
			}
			gone, err := f.await(ctx, `msg="draining generation has finished"`)
			if err != nil {
				return err
			}
			busy = append(busy, p.within(u.final, gone.at)...)
			took.add(float64(n), millis(gone.at.Sub(u.final)))
			switches.add(float64(n), millis(u.freeze))
			if err := h.ask(); err != nil {
				return err
			}
		}
		bytes, err := memory(f.pid)
		if err != nil {
			return err
		}
		own.add(float64(n), float64(bytes)/(1<<20))
		if err := errors.Join(p.stop(), h.leave(), f.end(ctx)); err != nil {
			return err
		}
		ms := took.quantile(0.5)
		a, b := millis(quantile(calm, 0.99)), millis(quantile(busy, 0.99))
		fmt.Printf("| %d | %.0f (%.0f to %.0f) | %.0f | %.2f | %.2f → %.2f | %.2f → %.2f | %.1f |\n", n, ms, took.quantile(0), took.quantile(1),
			float64(n)/ms*1e3, switches.quantile(0.5), millis(quantile(calm, 0.5)), millis(quantile(busy, 0.5)), a, b, b/a)
		moved.add(float64(n), ms)
		frozen.add(float64(n), switches.quantile(0.5))
		steady99.add(float64(n), a)
		moving99.add(float64(n), b)
	}
	fmt.Printf("\nEvery idle connection was asked after each of %d upgrades, and answered. One more costs %.0f µs of moving and %.1f KiB of memory: "+
		"a million would move in %.0f s.\n", s.rounds, moved.slope()*1e3, own.slope()*1024, moved.slope()*1e3)
	return plots(s.out, "scale-idle",
		chart{"Time to move", "idle connections", "ms", []named{{"", moved}}},
		chart{"p99 of those who work", "idle connections", "ms", []named{{"steady", steady99}, {"while others move", moving99}}},
		chart{"Switch", "idle connections", "ms", []named{{"", frozen}}},
	)
}

var _ = slices.Max[[]int]
