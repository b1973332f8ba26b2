package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/internal/takeover"
)

func (a *app) release() *cli.Command {
	return &cli.Command{
		Name: "release", Usage: "make, verify and keep releases",
		Description: "A release is a verified build on disk, which never changes. It comes from an artifact, which is a file, a directory or a tar " +
			"archive, with a signed manifest beside it.",
		Commands: []*cli.Command{
			a.releaseKeygen(), a.releaseSign(), a.releaseVerify(), a.releaseAdd(), a.releaseList(), a.releaseShow(), a.releasePrune(),
		},
		Action: a.none,
	}
}

// dirFlag names the directory of a service's releases.
func dirFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "dir", Usage: "`DIR` of the releases, instead of NAME", TakesFile: true,
		DefaultText: "/var/lib/handover/services/NAME, without root $XDG_STATE_HOME/handover/services/NAME",
	}
}

// storeOf opens the releases that are meant: by --dir, or by the first argument, which is HANDOVER_NAME if there are no more arguments than
// the command needs. It returns the arguments that are left, from least to most of them, and the name, empty with --dir.
func storeOf(c *cli.Command, least, most int) (s *release.Store, name string, rest []string, err error) {
	dir, rest := c.String("dir"), c.Args().Slice()
	if dir == "" {
		name = os.Getenv("HANDOVER_NAME")
		if len(rest) > least || name == "" && len(rest) > 0 {
			name, rest = rest[0], rest[1:]
		}
		if name == "" {
			return nil, "", nil, wrongUse("release %s: name the service, or its directory by --dir", c.Name)
		}
		if err := takeover.CheckName(name); err != nil {
			return nil, "", nil, usageError{err}
		}
		state, err := stateDir(os.Getenv("HANDOVER_STATE_DIR"))
		if err != nil {
			return nil, "", nil, err
		}
		dir = filepath.Join(state, "services", name)
	}
	if len(rest) < least || len(rest) > most {
		return nil, "", nil, wrongUse("release %s: give %s, not %q", c.Name, c.ArgsUsage, c.Args().Slice())
	}
	s, err = release.Open(dir)
	return s, name, rest, err
}

// policyFlags say what is trusted.
func policyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{
			Name: "keys", Usage: "`PATH` of a public key, or a directory of *.pub; may be given again", Sources: cli.EnvVars("HANDOVER_KEYS"), TakesFile: true,
			DefaultText: "/etc/handover/keys, without root $XDG_CONFIG_HOME/handover/keys",
		},
		&cli.BoolFlag{Name: "allow-unsigned", Usage: "take a release without a signature; one that is bad is refused all the same"},
		&cli.Int64Flag{Name: "max-size", Usage: "how many bytes the release may have", DefaultText: "4 GiB"},
	}
}

// policyOf reads policyFlags.
func policyOf(c *cli.Command) (release.Policy, error) {
	p := release.Policy{AllowUnsigned: c.Bool("allow-unsigned"), MaxSize: c.Int64("max-size")}
	if p.MaxSize < 0 {
		return p, wrongUse("--max-size %d: give a positive number of bytes", p.MaxSize)
	}
	paths := c.StringSlice("keys")
	if len(paths) == 0 {
		dir, err := keysDir()
		if err != nil {
			return p, err
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return p, nil // nobody is trusted
		}
		paths = []string{dir}
	}
	var err error
	p.Keys, err = release.LoadKeys(paths...)
	if err != nil {
		err = failure{error: err, next: "name public keys of minisign by --keys, which only their owner can write"}
	}
	return p, err
}

// keysDir is where the keys lie that this host trusts.
func keysDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/etc/handover/keys", nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", failure{error: err, next: "name the keys by --keys"}
	}
	return filepath.Join(dir, "handover", "keys"), nil
}

// fetching shows how far an addition is, on a terminal.
func (a *app) fetching() (progress func(release.Progress), end func()) {
	f, ok := terminal(a.stderr)
	if !ok {
		return nil, func() {}
	}
	var shown time.Time
	progress = func(p release.Progress) {
		if now := time.Now(); now.Sub(shown) > 100*time.Millisecond && p.Total > 0 {
			shown = now
			fmt.Fprintf(f, "\r\x1b[K%s %d%% of %s", p.Step, p.Bytes*100/p.Total, size(p.Total))
		}
	}
	return progress, func() { _, _ = f.WriteString("\r\x1b[K") }
}

// size writes a number of bytes for people.
func size(n int64) string {
	units, unit := []string{"B", "KiB", "MiB", "GiB"}, 0
	f := float64(n)
	for ; f >= 1024 && unit < len(units)-1; unit++ {
		f /= 1024
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[unit])
}

// parsed reads the source that is named on the command line.
func parsed(text string) (release.Source, error) {
	src, err := release.ParseSource(text)
	if err != nil {
		return src, usageError{err}
	}
	return src, nil
}

// unfetched says what to do about an artifact that could not even be judged.
func unfetched(err error) error {
	switch {
	case err == nil, errors.Is(err, release.ErrRefused), errors.Is(err, release.ErrDamaged), errors.Is(err, release.ErrBusy):
		return err
	case errors.Is(err, context.Canceled):
		return failure{error: err, next: "interrupted: nothing was added"}
	}
	return failure{error: err, next: "see that the source is right and can be read, and ask again; nothing was added"}
}
