package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/internal/wire"
)

func (a *app) status() *cli.Command {
	return &cli.Command{
		Name: "status", ArgsUsage: "[NAME]", Usage: "say how a service is",
		Description: "Exit code 0 means that the service is active, 3 that it is inactive: nobody answers for it, or it does not serve yet or " +
			"any more. 4 means that it cannot be found out.\n\n" +
			"With --watch it is asked again and again, until interrupted. A terminal is redrawn; elsewhere a line, or with -o json an " +
			"object on a line, tells each change.",
		Flags: []cli.Flag{
			outputFlag("table"),
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "ask again and again, until interrupted"},
			&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "how long to wait between two questions", Validator: atLeastTick},
		},
		ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			name, err := service(c)
			if err != nil {
				return err
			}
			if c.Bool("watch") {
				return a.watchStatus(ctx, c, name)
			}
			s, err := ask(ctx, c.String("runtime-dir"), name)
			if err != nil {
				return err
			}
			if asJSON(c) {
				err = writeJSON(a.stdout, s)
			} else {
				err = s.table(a.stdout)
			}
			if err == nil && !s.Active {
				err = quietly{exitInactive}
			}
			return err
		},
	}
}

func atLeastTick(d time.Duration) error {
	if d < 10*time.Millisecond {
		return fmt.Errorf("%s: give 10ms or more", d)
	}
	return nil
}

// condition is how a service is. Its keys are those of a status on the wire, where there is one.
type condition struct {
	Service string `json:"service,omitempty"`
	Active  bool   `json:"active"`
	Reason  string `json:"reason,omitempty"` // why it is inactive, if it said nothing itself
	*control.Status
}

// ask finds out how a service is. That nobody answers is an answer; an error means that it cannot be found out.
func ask(ctx context.Context, runtimeDir, name string) (condition, error) {
	c, err := control.Dial(ctx, runtimeDir, name)
	if errors.Is(err, control.ErrNobody) || errors.Is(err, control.ErrNoService) {
		return condition{Service: name, Reason: err.Error()}, nil
	}
	var status *control.Status
	if err == nil {
		defer c.Close()
		status, err = c.Status(ctx)
	}
	var ambiguous *control.AmbiguousError
	if err == nil {
		return condition{Service: c.Name(), Active: explain(status.State).active, Status: status}, nil
	} else if !errors.As(err, &ambiguous) {
		_, next := judge(err)
		err = failure{err, next, exitUnknown}
	}
	return condition{}, err
}

// maxLost is how many conversations in a row may break off: a generation that hands over and leaves may have begun one.
const maxLost = 2

// watchStatus shows the service until ctx ends, which is the usual end.
func (a *app) watchStatus(ctx context.Context, c *cli.Command, name string) error {
	again := time.NewTicker(c.Duration("interval"))
	defer again.Stop()
	_, redraw := terminal(a.stdout)
	var before condition
	lost := 0
	for {
		s, err := ask(ctx, c.String("runtime-dir"), name)
		if errors.Is(err, control.ErrLost) && lost < maxLost {
			lost++
			s, err = before, nil
		} else {
			lost = 0
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case redraw && !asJSON(c):
			fmt.Fprint(a.stdout, "\x1b[H\x1b[J")
			err = s.table(a.stdout)
		case !s.differs(before):
			// nothing to tell
		case asJSON(c):
			err = writeLine(a.stdout, s)
		default:
			err = s.line(a.stdout, time.Now())
		}
		if err != nil {
			return err
		}
		before = s
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// differs reports whether there is news: that time passes is none.
func (s condition) differs(before condition) bool {
	still := func(c condition) condition {
		if c.Status != nil {
			copied := *c.Status
			copied.UptimeMs = 0
			c.Status = &copied
		}
		return c
	}
	return !reflect.DeepEqual(still(s), still(before))
}

// line says it in one line.
func (s condition) line(w io.Writer, now time.Time) error {
	at := now.Format(time.TimeOnly)
	if s.Status == nil {
		_, err := fmt.Fprintf(w, "%s  %s  inactive    %s\n", at, s.Service, s.Reason)
		return err
	}
	_, err := fmt.Fprintf(w, "%s  %s  %-10s  generation %d pid %d, %s, %d draining\n", at, s.Service, s.State, s.Generation, s.PID,
		counted(s.Connections, "connection"), len(s.Draining))
	return err
}

// table says all that is known.
func (s condition) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(key, format string, a ...any) { fmt.Fprintf(t, "%s\t%s\n", key, fmt.Sprintf(format, a...)) }
	if s.Service != "" {
		row("service", "%s", s.Service)
	}
	if s.Status == nil {
		row("state", "inactive: %s", s.Reason)
		return t.Flush()
	}
	row("state", "%s: %s", s.State, explain(s.State).text)
	since := (time.Duration(s.UptimeMs) * time.Millisecond).Round(time.Second)
	if s.PID != 0 { // else a keeper has none
		row("generation", "%d, pid %d, since %s", s.Generation, s.PID, since)
		row("build", "%s", s.Build)
	}
	if s.Attempt != 0 {
		row("handover", "attempt %d is under way", s.Attempt)
	}
	row("connections", "%d", s.Connections)
	for i, ln := range s.Listeners {
		row(first(i, "listeners"), "%s", listenerText(ln))
	}
	for i, d := range s.Draining {
		row(first(i, "draining"), "generation %d, pid %d", d.Generation, d.PID)
	}
	if k := s.Keeper; k != nil {
		row("keeper", "pid %d, %s", k.PID, counted(k.Restarts, "restart"))
		for _, r := range [][2]string{{"running", k.Running}, {"previous", k.Previous}, {"last", k.Last}} {
			if r[1] != "" {
				row(r[0], "%s", r[1])
			}
		}
	}
	return t.Flush()
}

func first(i int, key string) string {
	if i == 0 {
		return key
	}
	return ""
}

func listenerText(l wire.Listener) string {
	text := l.Network + " " + l.Address
	if l.Bound != "" && l.Bound != l.Address {
		text += " (" + l.Bound + ")"
	}
	var also []string
	if l.Packet {
		also = append(also, "datagrams")
	}
	if l.Shared {
		also = append(also, "held from outside too")
	}
	if len(also) > 0 {
		text += ", " + strings.Join(also, ", ")
	}
	return text
}
