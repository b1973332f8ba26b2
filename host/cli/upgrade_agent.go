package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

// requestFlags say what is upgraded to.
func requestFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "release", Usage: "`ID` of a release that the host has, its version, or so much of it that it is the only one; takes an agent"},
		&cli.StringFlag{Name: "source", Usage: "path or `URL` of an artifact, instead of the service's own; takes an agent"},
		&cli.StringFlag{Name: "binary", Usage: "start `FILE` instead of the service's own command", TakesFile: true},
		&cli.BoolFlag{Name: "allow-older", Usage: "take a version below the last committed one; takes an agent"},
	}
}

// requestOf reads requestFlags.
func requestOf(c *cli.Command) (control.UpgradeRequest, error) {
	r := control.UpgradeRequest{Release: c.String("release"), Source: c.String("source"), Binary: c.String("binary"), AllowOlder: c.Bool("allow-older")}
	given := 0
	for _, name := range []string{"release", "source", "binary"} {
		if !c.IsSet(name) {
			continue
		}
		if given++; c.String(name) == "" {
			return r, wrongUse("--%s is empty: give one, or leave it out for the service's own", name)
		}
	}
	if given > 1 {
		return r, wrongUse("give one of --release, --source and --binary")
	}
	for _, path := range []*string{&r.Source, &r.Binary} { // the agent has a working directory of its own
		if *path == "" || strings.Contains(*path, "://") {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return r, fmt.Errorf("find %s: %w", *path, err)
		}
		*path = absolute
	}
	return r, nil
}

// through has the agent upgrade a service, or go back, and shows how that goes. It goes on when this command ends.
func (a *app) through(ctx context.Context, c *cli.Command, client *control.Client, begin func(context.Context) (control.Upgrade, error)) error {
	if d := c.Duration("timeout"); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	u, err := begin(ctx)
	if err != nil {
		return err
	}
	var show *trail
	switch f, ok := terminal(a.stdout); {
	case asJSON(c):
	case ok:
		show = &trail{w: a.stdout, screen: newBlock(f, func() int { return width(f) })}
	default:
		show = &trail{w: a.stdout}
	}
	if c.Bool("wait") {
		u, err = await(ctx, client, u, show)
	} else {
		show.begun(u)
	}
	if asJSON(c) {
		err = errors.Join(err, writeJSON(a.stdout, u))
	}
	return err
}

// await waits until the upgrade is over, and returns it as it was seen last.
func await(ctx context.Context, client *control.Client, u control.Upgrade, show *trail) (control.Upgrade, error) {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()

	seen, end := make(chan control.Upgrade), make(chan error, 1)
	wait.Go(func() {
		_, err := client.Await(ctx, u.Service, u.Number, func(u control.Upgrade) {
			select {
			case seen <- u:
			case <-ctx.Done():
			}
		})
		end <- err
	})
	redraw := time.NewTicker(100 * time.Millisecond)
	defer redraw.Stop()
	for {
		select {
		case u = <-seen:
			show.update(u)
		case <-redraw.C:
			show.draw()
		case err := <-end:
			show.leave()
			if err != nil && !u.Over() {
				err = fmt.Errorf("wait for %s: %w", u.ID, err)
			}
			return u, err
		}
	}
}
