package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/handover-go/handover/bench/service"
	"github.com/handover-go/handover/bench/subject"
	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// Signals is how fast the library answers who asks for an upgrade.
type Signals struct {
	Asked   []time.Duration // from UPGRADE at the takeover socket, while one is under way, until its REPLY; one client
	Alone   []float64       // such answers a second, to one client
	Crowded []float64       // the same, to Askers at a time
	Refused []time.Duration // from kill(2) of SIGUSR2, while one is under way, until the line of the log that says so
	Begun   []time.Duration // from kill(2) of SIGUSR2 until the line of the log that says that the successor was started

	// The same of a bare Go program, in turn: it gives back what comes to its socket, and logs signals.
	BareAsked, BareTold []time.Duration
}

// Askers is how many clients ask at a time, each when its question before was answered.
const Askers = 4

// burst is for how long it is asked in one attempt. A successor that hangs is given ReadyTimeout, which is longer.
const burst = 500 * time.Millisecond

// Signalled asks in n attempts in turn at the takeover socket, and by signal.
func Signalled(ctx context.Context, b *subject.Builds, s *Signals, n int) (err error) {
	running, err := subject.Library().Start(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	if err := running.Install(service.Hangs); err != nil {
		return err
	}
	bare, err := subject.Bare().Start(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.Stop()) }()
	events, told := follow(running), follow(bare)
	for i := range 3 * n {
		at := time.Now()
		if err := running.Trigger(ctx); err != nil {
			return err
		}
		begun, err := await(ctx, events, begins)
		if err != nil {
			return err
		}
		s.Begun = append(s.Begun, begun.Time.Sub(at))
		switch i % 3 {
		case 0:
			err = errors.Join(s.askAlone(running.TakeoverSocket()), s.askBare(bare.Socket()))
		case 1:
			err = s.askCrowded(running.TakeoverSocket())
		case 2:
			err = errors.Join(signal(ctx, running.Root(), events, noBegin, &s.Refused), signal(ctx, bare.Root(), told, service.Told, &s.BareTold))
		}
		if err != nil {
			return err
		}
		if _, err := await(ctx, events, aborted); err != nil {
			return err
		}
	}
	return nil
}

// signal sends each signal when the one before was answered: the kernel keeps one of a kind.
func signal(ctx context.Context, pid int, events <-chan event, answer string, took *[]time.Duration) error {
	for began := time.Now(); time.Since(began) < burst; {
		at := time.Now()
		if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
			return err
		}
		said, err := await(ctx, events, answer)
		if err != nil {
			return err
		}
		*took = append(*took, said.Time.Sub(at))
	}
	return nil
}

func (s *Signals) askAlone(path string) error {
	took, err := ask(path)
	s.Asked = append(s.Asked, took...)
	s.Alone = append(s.Alone, float64(len(took))/burst.Seconds())
	return err
}

func (s *Signals) askCrowded(path string) error {
	var wait sync.WaitGroup
	answered, errs := make([]int, Askers), make([]error, Askers)
	for i := range Askers {
		wait.Go(func() {
			took, err := ask(path)
			answered[i], errs[i] = len(took), err
		})
	}
	wait.Wait()
	total := 0
	for _, n := range answered {
		total += n
	}
	s.Crowded = append(s.Crowded, float64(total)/burst.Seconds())
	return errors.Join(errs...)
}

// ask asks for an upgrade again and again, for a burst, and returns how long each answer took.
func ask(path string) ([]time.Duration, error) {
	link, err := dial(path)
	if err != nil {
		return nil, err
	}
	defer link.Close()
	return repeat(func() error {
		if err := link.Send(0, &wire.Upgrade{}); err != nil {
			return err
		}
		f, err := link.Receive()
		if err != nil {
			return err
		}
		if reply, ok := f.Message.(*wire.Reply); !ok || reply.Error == "" || reply.Attempt == 0 {
			return fmt.Errorf("UPGRADE while one is under way is answered by %s %+v", f.Kind(), f.Message)
		}
		return nil
	})
}

// askBare asks the bare program for what a REPLY may be as long as.
func (s *Signals) askBare(path string) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(eventPatience))
	question := make([]byte, 100)
	took, err := repeat(func() error {
		if _, err := c.Write(question); err != nil {
			return err
		}
		_, err := io.ReadFull(c, question)
		return err
	})
	s.BareAsked = append(s.BareAsked, took...)
	return err
}

// repeat has a question answered again and again, for a burst, and returns how long each answer took.
func repeat(question func() error) (took []time.Duration, err error) {
	began := time.Now()
	for last := began; last.Sub(began) < burst; {
		if err := question(); err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(last))
		last = now
	}
	return took, nil
}

// dial connects to a takeover socket as a control client.
func dial(path string) (*wire.Link, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(eventPatience))
	link := peer.NewLink(platform.SocketFromConn(c.(*net.UnixConn)))
	err = link.Send(0, &wire.Hello{Protocol: wire.Protocols, Role: wire.RoleControl, PID: os.Getpid()})
	if err == nil {
		var greeting wire.Frame
		greeting, err = link.Receive()
		peer.CloseDescriptors(&greeting)
	}
	if err != nil {
		return nil, errors.Join(err, link.Close())
	}
	return link, nil
}
