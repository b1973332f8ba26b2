package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"
)

func (a *app) releasePrune() *cli.Command {
	return &cli.Command{
		Name: "prune", ArgsUsage: "[NAME]", Usage: "remove releases that nobody needs",
		Description: "The current release and the last committed one stay, those given by --in-use, and of all others the ones that were added last.",
		Flags: []cli.Flag{
			dirFlag(),
			&cli.IntFlag{Name: "keep", Value: 3, Usage: "how many others stay"},
			&cli.StringSliceFlag{Name: "in-use", Usage: "`RELEASE` that stays; may be given again"},
			outputFlag("text"),
		},
		Action: func(_ context.Context, c *cli.Command) error {
			s, _, _, err := storeOf(c, 0, 0)
			if err != nil {
				return err
			}
			if c.Int("keep") < 0 {
				return wrongUse("release prune: --keep %d: give 0 or more", c.Int("keep"))
			}
			var inUse []string
			for _, ref := range c.StringSlice("in-use") {
				r, err := s.Get(ref)
				if err != nil {
					return err
				}
				inUse = append(inUse, r.ID)
			}
			removed, err := s.Prune(c.Int("keep"), inUse...)
			if asJSON(c) {
				return errors.Join(err, writeJSON(a.stdout, map[string][]string{"removed": append([]string{}, removed...)}))
			}
			for _, id := range removed {
				fmt.Fprintf(a.stdout, "removed %s\n", id)
			}
			if err == nil && len(removed) == 0 {
				fmt.Fprintln(a.stdout, "nothing to remove")
			}
			return err
		},
	}
}
