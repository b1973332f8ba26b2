package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/handovertest"
)

const (
	// attemptTimeout bounds one attempt: what the service is given for it, and some more.
	attemptTimeout = 15 * time.Second
	// endTimeout bounds the end of the service: its DrainTimeout, and some more.
	endTimeout = 10 * time.Second
	// between is how many requests are answered from one attempt to the next.
	between = 300
)

// demo is a service under load.
type demo struct {
	path    string // from where the service is started
	kept    *kept
	load    *handovertest.Driver
	serving int // pid of the generation that serves
	current build
	show    *screen
	total   summary
}

// perform does it all. What it starts has ended when it returns.
func perform(ctx context.Context, show *screen) (total summary, err error) {
	dir, err := os.MkdirTemp("", "handover-demo-")
	if err != nil {
		return total, err
	}
	defer os.RemoveAll(dir)
	ledger := filepath.Join(dir, "ledger")
	if err := os.Mkdir(ledger, 0o700); err != nil {
		return total, err
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return total, err
	}

	show.title(address)
	d := &demo{path: filepath.Join(dir, "service"), show: show}
	if err := d.start(ctx, dir, address, ledger); err != nil {
		return total, err
	}
	err = d.drive(ctx, address, ledger)
	if stopErr := d.stop(); err == nil {
		err = stopErr
	}
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		err = fmt.Errorf("%w\n%s%s", err, d.kept.tail(), d.total.report)
	}
	return d.total, err
}

// start starts the first generation.
func (d *demo) start(ctx context.Context, dir, address, ledger string) (err error) {
	d.current = plan[0]
	if err := d.current.install(d.path); err != nil {
		return err
	}
	if d.kept, err = keep(dir, d.path, address, "HANDOVERTEST_LEDGER="+ledger, serviceVariable+"=service"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	for {
		e, err := d.kept.next(ctx)
		if err != nil {
			_ = d.stop()
			return fmt.Errorf("start service: %w\n%s", err, d.kept.tail())
		}
		if e.Message == serving {
			d.serving = e.PID
			return nil
		}
	}
}

// drive replaces the service under load, as planned.
func (d *demo) drive(ctx context.Context, address, ledger string) (err error) {
	d.load, err = handovertest.Drive(ctx, handovertest.Load{
		Address: address,
		Clients: handovertest.Polite(),
		Timeout: 10 * time.Second,                               // longer than a build that hangs is drained
		Quiet:   [2]time.Duration{time.Second, 4 * time.Second}, // across several generations
		Ledger:  ledger,
		// HTTP allows a service to take leave with "Connection: close". A handover has to do without.
		CountPoliteCloses: true,
	})
	if err != nil {
		return err
	}
	defer d.show.live(d.load.Snapshot)()
	d.show.head()
	d.show.row(d.current, d.current.what, "serves as generation 1", "", d.load.Snapshot())
	for _, b := range plan[1:] {
		if err := d.try(ctx, b); err != nil {
			return fmt.Errorf("try %s: %w", b.name, err)
		}
	}
	return d.kill(ctx)
}

// kill kills the only generation, and sees the service go on.
func (d *demo) kill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if err := d.load.WaitAnswers(ctx, between); err != nil {
		return err
	}
	at := time.Now()
	d.load.Killed(d.serving, at)
	if err := kill(d.serving); err != nil {
		return fmt.Errorf("kill the service: %w", err)
	}
	for {
		e, err := d.kept.next(ctx)
		if err != nil {
			return err
		}
		if e.Message == serving {
			d.serving, d.total.restart = e.PID, e.Time.Sub(at)
			d.show.row(d.current, "kill -9", fmt.Sprintf("serves as generation %d %s later", e.Generation, short(d.total.restart)), "", d.load.Snapshot())
			break
		}
	}
	if err := d.load.WaitPID(ctx, d.serving); err != nil {
		return err
	}
	return d.load.WaitAnswers(ctx, between)
}

// try asks for a handover to b, sees it to its end, and sees the service go on.
func (d *demo) try(ctx context.Context, b build) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if err := d.load.WaitAnswers(ctx, between); err != nil {
		return err
	}
	if err := b.install(d.path); err != nil {
		return err
	}
	if err := d.kept.upgrade(); err != nil {
		return err
	}
	r, err := d.outcome(ctx)
	if err != nil {
		return err
	}
	d.total.count(b, r)
	if r.outcome == handover.Final {
		if err := d.load.WaitPID(ctx, r.pid); err != nil {
			return err
		}
		d.serving, d.current = r.pid, b
	}
	d.show.row(b, b.what, r.text(d.current), r.switched(), d.load.Snapshot())
	if !r.drains {
		return nil
	}
	// The next attempt need not wait for this, but all that a build has cost belongs in its rows.
	if err := d.awaitGone(ctx, r.successor); err != nil {
		return err
	}
	d.show.row(b, "", "has gone, with the requests that it never answered", "", d.load.Snapshot())
	return nil
}

// outcome follows the log to the end of the handover under way.
func (d *demo) outcome(ctx context.Context) (r result, err error) {
	for !r.complete() {
		e, err := d.kept.next(ctx)
		if err != nil {
			return r, err
		}
		switch e.Message {
		case begun:
			r.began, r.successor = e.Time, e.PID
		case final:
			r.final, r.change = true, e.Switch
		case succeeded:
			r.outcome, r.pid, r.generation = handover.Final, e.PID, e.Generation
		case aborted:
			r.outcome, r.why = handover.Aborted, e.Error
		case unhealthy:
			r.bad = e.Time
		case crashing:
			// The time lies between the last connection that the build accepted and the first that it lost.
			d.load.Killed(r.successor, e.Time)
			r.bad = e.Time
		case returns:
			r.drains = true
		case resumed:
			// A build that hangs gives back connections on which no request waits. The others are lost from this instant on,
			// as in a crash, though their clients learn it only when the build drains no longer. What a client of it lost
			// before counts as failed.
			if r.drains {
				d.load.Killed(r.successor, e.Time)
			}
			if r.bad.IsZero() {
				r.bad = e.Time
			}
			r.outcome, r.why, r.back = handover.Resumed, e.Error, e.Time.Sub(r.bad)
		case notAccepted:
			return r, fmt.Errorf("no handover begins: %s", e.Error)
		}
	}
	return r, nil
}

// awaitGone waits until a generation that drains has ended.
func (d *demo) awaitGone(ctx context.Context, pid int) error {
	for {
		e, err := d.kept.next(ctx)
		if err != nil || e.Message == gone && e.PID == pid {
			return err
		}
	}
}

// stop ends the load first, then the service.
func (d *demo) stop() error {
	if d.load != nil {
		d.total.report = d.load.Stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	return d.kept.end(ctx)
}

func freeAddress(ctx context.Context) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free address: %w", err)
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
