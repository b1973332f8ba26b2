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

// launchPlain has start start a program that is given sockets, without holding up the loop, and goes on there. Nobody closes them
// meanwhile: from New until the keeper ends they belong to the keeper or to a generation, and are never let go of.
func (k *Keeper) launchPlain(a *attempt, s stock, start func() (*child, *ear, error)) {
	a.launching = a.incumbent == nil
	k.background(context.Background(), func(context.Context) {
		c, e, err := start()
		taken := make(chan struct{})
		k.post(func() {
			defer close(taken)
			a.launching = false
			if k.nginx != nil {
				k.nginx.launching = false
				if k.attempt != a {
					k.pointBack()
				}
			}
			switch {
			case err != nil && k.attempt == a:
				k.failed(a, wire.CodeFailed, err)
			case err == nil:
				g := newGeneration(c, s)
				g.Peer = &peer.Peer{Process: c}
				if e != nil {
					e.listen(k, g)
				}
				k.add(g)
				switch {
				case k.attempt == a:
					a.trial.begin(k, a, g)
				case k.nginx != nil: // it has come too late, and has workers
					k.dismiss(g, recallTimeout)
				default:
					_ = c.Kill()
				}
			}
		})
		select {
		case <-taken:
		case <-k.done:
			if c != nil && !closed(taken) {
				if e != nil {
					e.close()
				}
				_ = c.Kill()
				<-c.done
				k.killOrphans()
			}
		}
	})
}

// startPlain starts the build with the sockets, and with one at which it can be heard.
func (k *Keeper) startPlain(s stock, held []holding) (*child, *ear, error) {
	e, err := openEar(k.log)
	if err != nil {
		return nil, nil, err
	}
	c, err := k.runPlain(s, held, e.address())
	if err != nil {
		e.close()
		return nil, nil, err
	}
	return c, e, nil
}

func (k *Keeper) runPlain(s stock, held []holding, notify string) (*child, error) {
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
	return k.run(s, files, "NOTIFY_SOCKET="+notify, "LISTEN_FDS="+strconv.Itoa(len(held)), "LISTEN_FDNAMES="+names(held))
}

// spawnToBecome starts this program once more, which becomes what cmd says (see Become), and waits until it has.
func (k *Keeper) spawnToBecome(cmd *exec.Cmd, limits []Limit) (*child, error) {
	report, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = report.Close() }()
	defer func() { _ = theirs.Close() }()
	cmd.Env = append(cmd.Env, becomeVariable+"="+cmd.Path, limitsVariable+"="+limited(limits),
		reportVariable+"="+strconv.Itoa(firstDescriptor+len(cmd.ExtraFiles)))
	cmd.Path, cmd.ExtraFiles = "/proc/self/exe", append(cmd.ExtraFiles, theirs)
	c, err := k.spawn(cmd)
	if err != nil {
		return nil, err
	}
	_ = theirs.Close() // else the end of the report would not come
	if err := became(c, report); err != nil {
		c.discard()
		return nil, err
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
