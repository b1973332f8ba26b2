package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
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
