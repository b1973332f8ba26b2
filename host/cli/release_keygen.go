package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/handover-go/handover/host/release"
)

// passphraseVariable holds the passphrase of a private key, where nobody can be asked.
const passphraseVariable = "HANDOVER_RELEASE_PASSPHRASE"

func (a *app) releaseKeygen() *cli.Command {
	return &cli.Command{
		Name: "keygen", ArgsUsage: "KEY", Usage: "make a key pair: KEY, which signs, and KEY.pub, which hosts trust",
		Description: "The files are those of minisign. The private key is encrypted with the passphrase that " + passphraseVariable + " has, or that is asked for.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "no-passphrase", Usage: "leave the private key unencrypted, as for a CI that keeps it secret itself"},
			outputFlag("text"),
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 {
				return wrongUse("release keygen: give the path of the private key")
			}
			file, secret := c.Args().First(), ""
			if !c.Bool("no-passphrase") {
				var err error
				if secret, err = a.passphrase(file, true); err != nil {
					return err
				}
				if secret == "" {
					return wrongUse("release keygen: the passphrase is empty: give one, or --no-passphrase")
				}
			}
			id, err := release.GenerateKey(file, secret)
			if err != nil {
				return failure{error: err, next: "give a path at which there is no file, in a directory that can be written to"}
			}
			if asJSON(c) {
				return writeJSON(a.stdout, map[string]string{"key": id, "private": file, "public": file + ".pub"})
			}
			_, err = fmt.Fprintf(a.stdout, "key %s\nkeep %s secret; give %s.pub to every host\n", id, file, file)
			return err
		},
	}
}

// passphrase is that of a private key: from the environment, or asked for, a new one twice.
func (a *app) passphrase(file string, isNew bool) (string, error) {
	if secret, ok := os.LookupEnv(passphraseVariable); ok {
		return secret, nil
	}
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", failure{error: fmt.Errorf("passphrase of %s: there is no terminal to ask at", file), next: "set " + passphraseVariable + ", or make a key by keygen --no-passphrase", code: exitUsage}
	}
	ask := func(what string) (string, error) {
		fmt.Fprintf(a.stderr, "%s of %s: ", what, file)
		secret, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.stderr)
		return string(secret), err
	}
	secret, err := ask("passphrase")
	if err != nil || !isNew {
		return secret, err
	}
	again, err := ask("the same passphrase again, for the private key")
	if err == nil && again != secret {
		err = errors.New("the passphrases differ")
	}
	return secret, err
}
