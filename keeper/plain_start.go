package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// becomeTimeout bounds the time from the start of the keeper's own program until it has executed the service.
const becomeTimeout = 10 * time.Second

// launchPlain starts a program that is given sockets, without holding up the loop, and goes on there. Nobody closes held
// meanwhile: from New until the keeper ends they belong to the keeper or to a generation, and are never let go of.
func (k *Keeper) launchPlain(a *attempt, s stock, held []holding) {
	k.background(context.Background(), func(context.Context) {
		e, err := openEar(k.log)
		var c *child
		if err == nil {
			if c, err = k.startPlain(s, held, e.address()); err != nil {
				e.close()
			}
		}
		taken := make(chan struct{})
		k.post(func() {
			defer close(taken)
			switch {
			case err != nil && k.attempt == a:
				k.failed(a, wire.CodeFailed, err)
			case err == nil:
				g := newGeneration(c, s)
				g.Peer = &peer.Peer{Process: c}
				e.listen(k, g)
				k.add(g)
				if k.attempt != a {
					_ = c.Kill() // it has come too late
					return
				}
				a.trial.begin(k, a, g)
			}
		})
		select {
		case <-taken:
		case <-k.done:
			if c != nil {
				e.close()
				_ = c.Kill()
				<-c.done
			}
		}
	})
}

// startPlain starts the build with the sockets, and makes sure that it is the one that was examined which runs. The process
// that it starts is this program once more, which becomes the service (see Become).
func (k *Keeper) startPlain(s stock, held []holding, notify string) (*child, error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	for _, h := range held {
		fd, err := platform.Duplicate(h.fd)
		if err != nil {
			return nil, fmt.Errorf("start the service: %w", err)
		}
		files = append(files, os.NewFile(uintptr(fd), h.spec.Key()))
	}
	report, theirs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	defer func() { _ = report.Close() }()
	files = append(files, theirs)
	path := s.executable()
	c, err := k.nursery.start(&exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{k.config.Command}, k.config.Args...), Dir: k.config.Dir,
		Env: append(k.environment(), "NOTIFY_SOCKET="+notify,
			"LISTEN_FDS="+strconv.Itoa(len(held)), "LISTEN_FDNAMES="+names(held),
			becomeVariable+"="+path, reportVariable+"="+strconv.Itoa(firstDescriptor+len(held))),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		ExtraFiles: files,
	})
	if err == nil {
		_ = theirs.Close() // else the end of the report would not come
		if err = became(c, report); err == nil {
			err = verify(c, s, path)
		}
		if err != nil {
			c.discard()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	return c, nil
}

// firstDescriptor is SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstDescriptor = 3

// became waits until the process has executed the service.
func became(c *child, report *os.File) error {
	if err := report.SetReadDeadline(time.Now().Add(becomeTimeout)); err != nil {
		return err
	}
	said, err := io.ReadAll(report)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("process %d has not executed it within %s", c.PID(), becomeTimeout)
	case err != nil:
		return err
	case len(said) > 0:
		return errors.New(string(said))
	}
	return nil
}

// names is LISTEN_FDNAMES: for each socket the address that was asked for, without what a name may not have.
func names(held []holding) string {
	var all []string
	for _, h := range held {
		name := strings.Map(func(r rune) rune {
			if r <= ' ' || r > '~' || r == ':' {
				return '_'
			}
			return r
		}, h.spec.Address)
		all = append(all, name[:min(len(name), maxName)])
	}
	return strings.Join(all, ":")
}

// maxName is FDNAME_MAX of systemd.
const maxName = 255
