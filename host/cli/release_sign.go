package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/release"
)

func (a *app) releaseSign() *cli.Command {
	return &cli.Command{
		Name: "sign", ArgsUsage: "ARTIFACT", Usage: "write the manifest of an artifact and its signature beside it",
		Description: "ARTIFACT is a program, a directory, or a tar archive as it is or compressed by gzip or zstd. Its manifest is ARTIFACT" + release.ManifestSuffix +
			", the signature ARTIFACT" + release.SignatureSuffix + ", which minisign -V accepts too.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "key", Usage: "`FILE` with the private key", TakesFile: true, Sources: cli.EnvVars("HANDOVER_RELEASE_KEY")},
			&cli.BoolFlag{Name: "unsigned", Usage: "write the manifest alone"},
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the service", Required: true},
			&cli.StringFlag{Name: "version", Usage: "semantic `VERSION`, such as 1.2.0", Required: true},
			&cli.StringFlag{Name: "command", Usage: "`PATH` of the program within the artifact", DefaultText: "NAME, bin/NAME, or the only executable file"},
			&cli.StringFlag{Name: "expires", Usage: "after how long hosts refuse to add it, as in 30d or 12h", DefaultText: "never"},
			outputFlag("text"),
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			d := release.Description{Name: c.String("name"), Version: c.String("version"), Command: c.String("command"), Created: time.Now()}
			if c.Args().Len() != 1 {
				return wrongUse("release sign: give the artifact")
			}
			if text := c.String("expires"); text != "" {
				after, err := parseDays(text)
				if err != nil {
					return usageError{fmt.Errorf("--expires: %w", err)}
				}
				d.Expires = d.Created.Add(after)
			}
			key, err := a.privateKey(c)
			if err != nil {
				return err
			}
			m, err := release.Sign(ctx, c.Args().First(), d, key)
			if err != nil {
				return failure{error: err, next: "mend the artifact, or what is said of it"}
			}
			if asJSON(c) {
				return writeJSON(a.stdout, m)
			}
			_, err = fmt.Fprintf(a.stdout, "%s %s, %s, %s, starts %s\n", m.Name, m.ID(), counted(len(m.Files), "file"), size(m.UnpackedSize), m.Command)
			return err
		},
	}
}

// privateKey is the key that signs; nil if none shall.
func (a *app) privateKey(c *cli.Command) (*release.PrivateKey, error) {
	file := c.String("key")
	switch {
	case c.Bool("unsigned") && c.IsSet("key"):
		return nil, wrongUse("release sign: --key and --unsigned: give one of them")
	case c.Bool("unsigned"):
		return nil, nil
	case file == "":
		return nil, wrongUse("release sign: give --key, or --unsigned")
	}
	key, err := release.LoadPrivateKey(file, func() (string, error) { return a.passphrase(file, false) })
	if err != nil {
		if own := (failure{}); !errors.As(err, &own) {
			err = failure{error: err, next: `give a private key of minisign, or one that "handover release keygen" has made`}
		}
		return nil, err
	}
	return &key, nil
}

// parseDays reads a positive duration, which may be in days.
func parseDays(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int64
		n, err = strconv.ParseInt(days, 10, 32)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 || d > 100*366*24*time.Hour {
		return 0, fmt.Errorf("%q: give a positive duration such as 30d or 12h", text)
	}
	return d, nil
}
