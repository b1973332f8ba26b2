//go:build debian

package livetls

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// program is a command that asks.
type program struct {
	*exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	said bytes.Buffer // to stderr; complete once it has ended
}

// goodbye bounds the time that a program takes to end.
const goodbye = 20 * time.Second

// launch starts a program, which ends with ctx at the latest. Who reads its output to the end, or until it is no use, ends it then.
func launch(ctx context.Context, name string, args ...string) (*program, error) {
	p := &program{Cmd: exec.CommandContext(ctx, name, args...)}
	p.WaitDelay, p.Stderr = goodbye, &p.said
	in, err := p.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewReader(out)
	return p, p.Start()
}

// leave has the program end, by the end of what it is told, and waits. err is what its user has met.
func (p *program) leave(err error) error {
	_ = p.in.Close()
	if err != nil {
		_ = p.Process.Signal(syscall.SIGTERM)
	}
	_, _ = io.Copy(io.Discard, p.out)
	if ended := p.Wait(); err == nil {
		err = ended
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, &p.said)
	}
	return err
}
