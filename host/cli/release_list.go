package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/release"
)

func (a *app) releaseList() *cli.Command {
	return &cli.Command{
		Name: "list", ArgsUsage: "[NAME]", Usage: "show the releases of a service, the one added last first",
		Flags: []cli.Flag{dirFlag(), outputFlag("table")},
		Action: func(_ context.Context, c *cli.Command) error {
			s, _, _, err := storeOf(c, 0, 0)
			if err != nil {
				return err
			}
			all, err := describe(s)
			if asJSON(c) {
				return errors.Join(err, writeJSON(a.stdout, all))
			}
			return errors.Join(err, all.table(a.stdout))
		},
	}
}

// kept is a release as JSON.
type kept struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Dir     string    `json:"dir"`
	Command string    `json:"command"` // absolute
	Size    int64     `json:"size"`    // bytes unpacked
	Signer  string    `json:"signer,omitempty"`
	Source  string    `json:"source"`
	Created time.Time `json:"created"`
	Added   time.Time `json:"added"`
	Expires time.Time `json:"expires,omitzero"`
	Current bool      `json:"current"`
}

func (k kept) of(r release.Release) kept {
	m := r.Manifest
	return kept{
		ID: r.ID, Name: m.Name, Version: m.Version, Dir: r.Dir, Command: r.Command(), Size: m.UnpackedSize, Signer: r.Signer, Source: r.Source,
		Created: m.Created, Added: r.Added, Expires: m.Expires, Current: k.Current,
	}
}

// collection is all releases of a service as JSON.
type collection struct {
	Committed string `json:"committed,omitempty"` // version
	Releases  []kept `json:"releases"`
}

// describe reads a store. What is damaged is in the error; the others are there all the same.
func describe(s *release.Store) (collection, error) {
	all, damaged := s.List()
	current, _, currentErr := s.Current()
	version, markErr := s.Committed()
	found := collection{Committed: version, Releases: []kept{}}
	for _, r := range all {
		found.Releases = append(found.Releases, kept{Current: r.ID == current.ID}.of(r))
	}
	return found, errors.Join(damaged, currentErr, markErr)
}

func (l collection) table(w io.Writer) error {
	if len(l.Releases) == 0 {
		_, err := fmt.Fprintln(w, "no releases")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RELEASE\tSIZE\tADDED\tSTATE\tSIGNER")
	for _, k := range l.Releases {
		state := ""
		if k.Current {
			state = "current"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", k.ID, size(k.Size), k.Added.Format(time.RFC3339), state, k.Signer)
	}
	if l.Committed != "" {
		fmt.Fprintf(t, "committed: %s\n", l.Committed)
	}
	return t.Flush()
}
