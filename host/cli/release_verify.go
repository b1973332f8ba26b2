package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/release"
)

func (a *app) releaseVerify() *cli.Command {
	return &cli.Command{
		Name: "verify", ArgsUsage: "SOURCE, or --installed [NAME] [RELEASE]", Usage: "say whether an artifact would be taken, or whether releases on disk are whole",
		Description: "SOURCE is what add takes: it is fetched, verified and unpacked in the temporary directory, and nothing is kept.\n\n" +
			"With --installed or --dir every file of a release on disk is compared with its manifest; without RELEASE, those of all.",
		Flags: append([]cli.Flag{
			dirFlag(), &cli.BoolFlag{Name: "installed", Usage: "verify what is on disk"}, outputFlag("text"),
		}, policyFlags()...),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Bool("installed") || c.IsSet("dir") {
				return a.verifyInstalled(ctx, c)
			}
			return a.verifySource(ctx, c)
		},
	}
}

// verifySource adds an artifact where nobody needs it.
func (a *app) verifySource(ctx context.Context, c *cli.Command) (err error) {
	if c.Args().Len() != 1 {
		return wrongUse("release verify: give %s", c.ArgsUsage)
	}
	scratch, err := os.MkdirTemp("", "handover-verify-*")
	if err != nil {
		return fmt.Errorf("make a temporary directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	s, err := release.Open(filepath.Join(scratch, "store"))
	if err != nil {
		return err
	}
	r, err := a.take(ctx, c, s, "", c.Args().First())
	if err != nil {
		return err
	}
	if asJSON(c) {
		return writeJSON(a.stdout, struct {
			release.Manifest
			Signer string `json:"signer,omitempty"`
		}{r.Manifest, r.Signer})
	}
	_, err = fmt.Fprintf(a.stdout, "%s %s is good, %s\n", r.Manifest.Name, r.ID, signedBy(r.Signer))
	return err
}

func signedBy(signer string) string {
	if signer == "" {
		return "signed by nobody"
	}
	return "signed by " + signer
}

// verifyInstalled tells of each release, and fails when one is damaged.
func (a *app) verifyInstalled(ctx context.Context, c *cli.Command) error {
	s, _, rest, err := storeOf(c, 0, 1)
	if err != nil {
		return err
	}
	all, damaged := s.List()
	if len(rest) == 1 {
		r, err := s.Get(rest[0])
		if err != nil {
			return err
		}
		all, damaged = []release.Release{r}, nil
	}
	type state struct {
		ID    string `json:"id"`
		Whole bool   `json:"whole"`
		Error string `json:"error,omitempty"`
	}
	states := []state{}
	for _, r := range all {
		err := s.Verify(ctx, r.ID)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		st := state{ID: r.ID, Whole: err == nil}
		if err != nil {
			st.Error = err.Error()
			damaged = errors.Join(damaged, err)
		} else if !asJSON(c) {
			fmt.Fprintf(a.stdout, "%s is whole\n", r.ID)
		}
		states = append(states, st)
	}
	if asJSON(c) {
		damaged = errors.Join(damaged, writeJSON(a.stdout, states))
	}
	return damaged
}
