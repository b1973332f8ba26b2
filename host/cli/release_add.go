package cli

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/release"
)

func (a *app) releaseAdd() *cli.Command {
	return &cli.Command{
		Name: "add", ArgsUsage: "[NAME] SOURCE", Usage: "fetch a release, verify it and unpack it",
		Description: "SOURCE is a path, an http(s) URL, oci://HOST/REPOSITORY:TAG, or oci-layout:PATH:TAG; #sha256=DIGEST at its end says which artifact it must be. The running " +
			"service is not concerned. What is refused leaves the host as it was.",
		Flags: append([]cli.Flag{
			dirFlag(), &cli.BoolFlag{Name: "allow-older", Usage: "take a version below the last committed one"}, outputFlag("text"),
		}, policyFlags()...),
		Action: func(ctx context.Context, c *cli.Command) error {
			s, name, rest, err := storeOf(c, 1, 1)
			if err != nil {
				return err
			}
			r, err := a.take(ctx, c, s, name, rest[0])
			if err != nil {
				return err
			}
			if asJSON(c) {
				return writeJSON(a.stdout, kept{}.of(r))
			}
			_, err = fmt.Fprintf(a.stdout, "%s %s is at %s, %s\n", r.Manifest.Name, r.ID, r.Dir, signedBy(r.Signer))
			return err
		},
	}
}

// take has a store take in the release of that service that a source has; of any, if the name is empty. It shows how far that is.
func (a *app) take(ctx context.Context, c *cli.Command, s *release.Store, name, source string) (release.Release, error) {
	src, err := parsed(source)
	if err != nil {
		return release.Release{}, err
	}
	p, err := policyOf(c)
	if err != nil {
		return release.Release{}, err
	}
	p.Name, p.AllowOlder = name, c.Bool("allow-older")
	progress, end := a.fetching()
	r, err := s.Add(ctx, src, p, progress)
	end()
	return r, unfetched(err)
}
