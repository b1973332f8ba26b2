package cli

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) services() *cli.Command {
	return &cli.Command{
		Name: "services", Usage: "show all services that the agent keeps", Description: `What "handover status" shows without NAME where an agent answers.`,
		Flags: append([]cli.Flag{outputFlag("table")}, watchFlags()...),
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := nothing(c); err != nil {
				return err
			}
			client, err := anAgent(c)
			if err != nil {
				return err
			}
			defer client.Close()
			return a.show(ctx, c, func(ctx context.Context) (sight, error) { return lookAround(ctx, client) })
		},
	}
}

// lookAround sees all services of an agent.
func lookAround(ctx context.Context, client *control.Client) (sight, error) {
	within, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	all, err := client.Services(within)
	if err != nil {
		err = fmt.Errorf("ask the agent for its services: %w", err)
		_, next := judge(err)
		return nil, failure{err, next, exitUnknown}
	}
	return roster(all), nil
}

// roster is all services of a host.
type roster []control.Service

func (r roster) up() bool { return true } // the question was for all of them

func (r roster) same(before sight) bool { return reflect.DeepEqual(r, before) }

func (r roster) line(w io.Writer, now time.Time) error {
	for _, s := range r {
		if err := (keptService{Service: s}).line(w, now); err != nil {
			return err
		}
	}
	return nil
}

func (r roster) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATE\tVERSION\tGENERATION\tPID\tUPTIME\tRESTARTS\tINFLIGHT\tCONNECTIONS\tHEALTH")
	for _, s := range r {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s\n", harmless(s.Name), stateOf(s), orDash(harmless(s.Version)), figure(s.Generation), figure(s.PID),
			orDash(uptime(s, time.Now())), s.Restarts, inFlight(s), s.Connections, harmless(s.Health))
	}
	return t.Flush()
}

// stateOf is the state of a service, and whether it is paused.
func stateOf(s control.Service) string {
	if s.Paused {
		return harmless(s.State) + ",paused"
	}
	return harmless(s.State)
}

// inFlight is how many requests are being answered.
func inFlight(s control.Service) string {
	if s.InFlight == nil {
		return "-"
	}
	return fmt.Sprint(*s.InFlight)
}

// uptime of the generation that serves; empty if none does.
func uptime(s control.Service, now time.Time) string {
	if s.Started == nil {
		return ""
	}
	return max(now.Sub(*s.Started), 0).Truncate(time.Second).String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// figure is a number that is never 0 where it is known.
func figure(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
