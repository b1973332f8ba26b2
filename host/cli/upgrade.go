package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/wire"
)

func (a *app) upgrade() *cli.Command {
	return &cli.Command{
		Name: "upgrade", ArgsUsage: "[NAME]", Usage: "replace the running build of a service by its next one",
		Description: "Where an agent answers that keeps the service, it takes in the release that is meant, upgrades, and watches it: the next one of the service's own " +
			"source, or that of --release or --source. Waits until the release is kept: nothing has spoken against it until the end of its bake time.\n\n" +
			"Else it starts the service's own command anew, which is the next build if that was installed at its path, or the file given " +
			"by --binary. Waits until the handover is final: the new build has passed its probation and the old one cannot take " +
			"it back any more. With --wait=false it returns as soon as the upgrade has begun, and prints its number.\n\n" +
			"When the command is interrupted or its time is over, the upgrade goes on.",
		Flags: append(append(requestFlags(),
			&cli.BoolFlag{Name: "keeper", Usage: "replace the keeper itself by the build at its path; the service notices nothing"}), handoverFlags()...),
		ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			r, err := requestOf(c)
			if err != nil {
				return err
			}
			if c.Bool("keeper") {
				if r != (control.UpgradeRequest{}) {
					return wrongUse("--keeper with a build: the keeper is replaced by the build at its own path")
				}
				return a.hand(ctx, c, service.Request{Keeper: true})
			}
			client, name, err := a.keptBy(ctx, c)
			switch {
			case err != nil:
				return err
			case client == nil && (r.Release != "" || r.Source != "" || r.AllowOlder):
				return fmt.Errorf("upgrade to a release: %w that keeps the service", control.ErrNoAgent)
			case client == nil:
				return a.hand(ctx, c, service.Request{Binary: r.Binary})
			}
			defer client.Close()
			return a.through(ctx, c, client, func(ctx context.Context) (control.Upgrade, error) {
				u, err := client.Upgrade(ctx, name, r)
				if err != nil {
					err = fmt.Errorf("upgrade service %q: %w", name, err)
				}
				return u, err
			})
		},
	}
}

// handoverFlags are those of commands that begin a handover.
func handoverFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "wait", Value: true, Usage: "wait until it is over; --wait=false does not"},
		&cli.DurationFlag{
			Name: "timeout", Value: 10 * time.Minute, Usage: "how long to wait; the service's own time limits hold besides, 0 for these alone",
			Sources: cli.EnvVars("HANDOVER_UPGRADE_TIMEOUT"), Validator: notNegative,
		},
		outputFlag("text"),
	}
}

func notNegative(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("%s: give a positive duration such as 500ms or 10s, or 0", d)
	}
	return nil
}

// hand has the service hand over, and shows how that goes.
func (a *app) hand(ctx context.Context, c *cli.Command, q service.Request) error {
	if d := c.Duration("timeout"); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	client, err := a.dial(ctx, c)
	if err != nil {
		return err
	}
	defer client.Close()
	if q.Binary != "" {
		if err := a.verify(ctx, client, q.Binary); err != nil {
			return err
		}
	}
	w := watching{client: client, request: q, runtimeDir: c.String("runtime-dir"), wait: c.Bool("wait")}
	switch f, ok := terminal(a.stdout); {
	case asJSON(c):
		w.show = mute{}
	case ok:
		w.show, w.poll = newBlock(f, func() int { return width(f) }), true
	default:
		w.show = newLines(a.stdout, time.Now())
	}
	result, err := w.run(ctx)
	if asJSON(c) {
		err = errors.Join(err, writeJSON(a.stdout, outcomeOf(client.Name(), result, err)))
	}
	return err
}

// progress shows a handover as it goes. Its methods are called by one goroutine.
type progress interface {
	state(service.State)
	left(pid, connections int) // of that process
	tick()
	began(attempt uint32)
	end(service.Result, error)
}

// watching is a handover that is shown.
type watching struct {
	client     *service.Client
	request    service.Request
	runtimeDir string
	wait       bool
	poll       bool
	show       progress
}

// run asks for the handover, and returns when it is over or, without wait, has begun.
func (w *watching) run(ctx context.Context) (service.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()

	type ended struct {
		result service.Result
		err    error
	}
	states, end, left := make(chan service.State), make(chan ended, 1), make(chan *service.Status)
	wait.Go(func() {
		r, err := w.client.Upgrade(ctx, w.request, func(s service.State) {
			select {
			case states <- s:
			case <-ctx.Done():
			}
		})
		end <- ended{r, err}
	})
	redraw := time.NewTicker(100 * time.Millisecond)
	defer redraw.Stop()
	if w.poll {
		wait.Go(func() { w.count(ctx, left) })
	}
	for {
		select {
		case s := <-states:
			w.show.state(s)
			if !w.wait && s.Attempt != 0 {
				w.show.began(s.Attempt)
				return service.Result{Attempt: s.Attempt}, nil
			}
		case s := <-left:
			w.show.left(s.PID, s.Connections)
		case <-redraw.C:
			w.show.tick()
		case e := <-end:
			w.show.end(e.result, e.err)
			return e.result, e.err
		}
	}
}

// count asks, once a second, how many connections there are: states tell of them only when they change.
func (w *watching) count(ctx context.Context, left chan<- *service.Status) {
	ask := time.NewTicker(time.Second)
	defer ask.Stop()
	for {
		select {
		case <-ask.C:
		case <-ctx.Done():
			return
		}
		c, err := service.Dial(ctx, w.runtimeDir, w.client.Name())
		if err != nil {
			continue
		}
		status, err := c.Status(ctx)
		c.Close()
		if err != nil {
			continue
		}
		select {
		case left <- status:
		case <-ctx.Done():
		}
	}
}

// outcome is the end of a handover as JSON. Its keys are those of a REPLY on the wire.
type outcome struct {
	Service    string    `json:"service"`
	Attempt    uint32    `json:"attempt,omitempty"`
	Outcome    string    `json:"outcome,omitempty"` // final, aborted or resumed; absent if it goes on, or never began
	Generation int       `json:"generation,omitempty"`
	PID        int       `json:"pid,omitempty"`
	Build      string    `json:"build,omitempty"`
	ReadyUs    int64     `json:"ready_us,omitempty"`
	SwitchUs   int64     `json:"switch_us,omitempty"`
	TotalUs    int64     `json:"total_us,omitempty"`
	Lost       int       `json:"lost,omitempty"`
	Error      string    `json:"error,omitempty"`
	Code       wire.Code `json:"code,omitempty"`
}

func outcomeOf(name string, r service.Result, err error) outcome {
	o := outcome{
		Service: name, Attempt: r.Attempt, Outcome: r.Outcome, Generation: r.Generation, PID: r.PID, Build: r.Build,
		ReadyUs: r.Ready.Microseconds(), SwitchUs: r.Switch.Microseconds(), TotalUs: r.Total.Microseconds(), Lost: r.Lost,
	}
	var refusal *service.Refusal
	if errors.As(err, &refusal) {
		o.Attempt, o.Code = cmp.Or(o.Attempt, refusal.Attempt), refusal.Code
	}
	if err != nil {
		o.Error = err.Error()
	}
	return o
}
