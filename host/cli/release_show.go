package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/release"
)

func (a *app) releaseShow() *cli.Command {
	return &cli.Command{
		Name: "show", ArgsUsage: "[NAME] [RELEASE]", Usage: "show a release: its ID, version, the beginning of its ID, or else the current one",
		Flags: []cli.Flag{dirFlag(), outputFlag("table")},
		Action: func(_ context.Context, c *cli.Command) error {
			s, _, rest, err := storeOf(c, 0, 1)
			if err != nil {
				return err
			}
			ref := "current"
			if len(rest) == 1 {
				ref = rest[0]
			}
			r, err := s.Get(ref)
			if err != nil {
				return err
			}
			current, _, _ := s.Current() // what is wrong with it does not concern this one
			k := kept{Current: current.ID == r.ID}.of(r)
			if asJSON(c) {
				return writeJSON(a.stdout, struct {
					kept
					Manifest release.Manifest `json:"manifest"`
				}{k, r.Manifest})
			}
			return k.table(a.stdout, r.Manifest)
		},
	}
}

func (k kept) table(w io.Writer, m release.Manifest) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(key, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", key, value)
		}
	}
	row("release", k.ID)
	row("service", k.Name)
	row("version", k.Version)
	row("digest", m.Digest)
	row("command", k.Command)
	row("signer", k.Signer)
	row("source", k.Source)
	row("created", k.Created.Format(time.RFC3339))
	row("added", k.Added.Format(time.RFC3339))
	if !k.Expires.IsZero() {
		row("expires", k.Expires.Format(time.RFC3339))
	}
	if k.Current {
		row("state", "current")
	}
	if b := m.Build; b != nil {
		row("built by", b.Go)
		keys := []string{}
		for key := range b.Settings {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			row("  "+key, b.Settings[key])
		}
	}
	row("size", size(k.Size))
	for _, f := range m.Files {
		if f.Link != "" {
			row("  "+f.Path, "-> "+f.Link)
			continue
		}
		row("  "+f.Path, fmt.Sprintf("%04o %s sha256:%s", f.Mode, size(f.Size), f.SHA256))
	}
	return t.Flush()
}
