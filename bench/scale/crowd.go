package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// abreast is how many of a crowd ask at a time.
const abreast = 32

// crowd is clients in a process of their own. They connect; then, for each line on standard input, which is a span of time, all ask once
// within it, as fast as they are answered if it is 0. Each time it writes how many connections were made so far. It leaves at the end
// of the input.
func crowd(address string, count int) error {
	trust, err := trusting(os.Getenv(pairVariable), os.Getenv(resumedVariable) != "")
	if err != nil {
		return err
	}
	all := make([]*client, count)
	for i := range all {
		all[i] = &client{address: address, secure: trust()}
	}
	// The first answer brings the tickets, too.
	for span, commands := time.Duration(0), bufio.NewScanner(os.Stdin); ; {
		if err := askAll(all, span); err != nil {
			return err
		}
		made := 0
		for _, c := range all {
			made += c.made
		}
		fmt.Println(made, "made")
		if !commands.Scan() {
			return errors.Join(commands.Err(), leave(all))
		}
		if span, err = time.ParseDuration(commands.Text()); err != nil {
			return err
		}
	}
}

// askAll has all ask, one after the other within span, until each has been answered on a connection that does not end with it.
func askAll(all []*client, span time.Duration) error {
	began, next := time.Now(), atomic.Int64{}
	errs := make([]error, abreast)
	var wait sync.WaitGroup
	for w := range errs {
		wait.Go(func() {
			due := time.NewTimer(0)
			defer due.Stop()
			for i := int(next.Add(1)) - 1; i < len(all) && errs[w] == nil; i = int(next.Add(1)) - 1 {
				due.Reset(time.Until(began.Add(span * time.Duration(i) / time.Duration(len(all)))))
				<-due.C
				for answered := false; !answered && errs[w] == nil; answered = all[i].conn != nil {
					errs[w] = all[i].ask([]byte(small))
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// gathered is a crowd as its parent sees it.
type gathered struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// gather starts a crowd, and returns when it has connected.
func gather(env ...string) (*gathered, error) {
	g := &gathered{command: self("crowd", env...)}
	g.command.Stderr = os.Stderr
	in, err := g.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := g.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := g.command.Start(); err != nil {
		return nil, err
	}
	g.in, g.out = in, bufio.NewReader(out)
	if _, err := g.answered(); err != nil {
		return nil, errors.Join(err, g.leave())
	}
	return g, nil
}

// answered waits until all were, and returns how many connections they have made so far.
func (g *gathered) answered() (made int, err error) {
	_, err = fmt.Fscanln(g.out, &made, new(string))
	return made, err
}

// ask has all ask once within a span.
func (g *gathered) ask(span time.Duration) (made int, err error) {
	if _, err := fmt.Fprintln(g.in, span); err != nil {
		return 0, err
	}
	return g.answered()
}

func (g *gathered) leave() error { return errors.Join(g.in.Close(), g.command.Wait()) }
