package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

// Run runs the command that args name, args[0] being the program, and returns its exit code. When ctx ends, or SIGINT or SIGTERM
// comes, the command ends: a handover that it waits for goes on, a service that it runs ends gracefully.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	err := a.root().Run(ctx, args)
	if err != nil && !a.acted {
		err = usageError{err} // what the parser says
	}
	return report(stderr, err)
}

// app is one run of the command line.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	acted          bool // a command has begun: what is wrong from now on is not the parser's
}

func (a *app) root() *cli.Command {
	root := &cli.Command{
		Name:        "handover",
		Usage:       "replace a running service by its next build with nothing lost",
		Description: "NAME is the name of a service. Without it HANDOVER_NAME holds, and else the only service there is.\n\n" + exitHelp(),
		Reader:      a.stdin, Writer: a.stdout, ErrWriter: a.stderr,
		HideVersion:    true,
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // Run reports it
		OnUsageError:   func(_ context.Context, _ *cli.Command, err error, _ bool) error { return err },
		Suggest:        true,
		Flags: []cli.Flag{&cli.StringFlag{
			Name: "runtime-dir", Usage: "where takeover sockets lie", Sources: cli.EnvVars("HANDOVER_RUNTIME_DIR"),
			DefaultText: "as for the service: $XDG_RUNTIME_DIR/handover, /run/handover for root, else handover-UID in the temporary directory",
		}},
		Commands: []*cli.Command{
			a.run(), a.upgrade(), a.status(), a.rollback(), a.stop(), a.doctor(), a.demo(), a.version(),
		},
		Action:                          a.none,
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: func(c *cli.Command) { c.Hidden = false },
	}
	for _, c := range root.Commands {
		c.OnUsageError, c.HideHelpCommand = root.OnUsageError, true
		action := c.Action
		c.Action = func(ctx context.Context, c *cli.Command) error {
			a.acted = true
			if c.Name != keeps {
				var stop context.CancelFunc
				ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
				defer stop()
			}
			return action(ctx, c)
		}
	}
	return root
}

// keeps is the command that obeys signals itself: heard twice, one would be a second wish to end, which shortens a drain.
const keeps = "run"

// none is a command line without a command.
func (a *app) none(_ context.Context, c *cli.Command) error {
	if !c.Args().Present() {
		return cli.ShowRootCommandHelp(c)
	}
	unknown := c.Args().First()
	if like := cli.SuggestCommand(c.Commands, unknown); like != "" {
		return wrongUse("there is no command %q; did you mean %q?", unknown, like)
	}
	return wrongUse("there is no command %q", unknown)
}

// one returns the command's only argument, which may be missing.
func one(c *cli.Command, what string) (string, error) {
	if n := c.Args().Len(); n > 1 {
		return "", wrongUse("%s takes one %s, not %d: %q", c.Name, what, n, c.Args().Slice())
	}
	return c.Args().First(), nil
}

// nothing makes sure that the command has no argument.
func nothing(c *cli.Command) error {
	if c.Args().Present() {
		return wrongUse("%s takes no argument: %q", c.Name, c.Args().First())
	}
	return nil
}

// service is the name of the service that is meant; empty if it is the only one.
func service(c *cli.Command) (string, error) {
	name, err := one(c, "service")
	if name == "" {
		name = os.Getenv("HANDOVER_NAME")
	}
	return name, err
}

// dial reaches the service that is meant.
func dial(ctx context.Context, c *cli.Command) (*control.Client, error) {
	name, err := service(c)
	if err != nil {
		return nil, err
	}
	return control.Dial(ctx, c.String("runtime-dir"), name)
}

// complete suggests the names of services, where an argument may be one.
func (a *app) complete(ctx context.Context, c *cli.Command) {
	cli.DefaultCompleteWithFlags(ctx, c)
	if c.Args().Present() {
		return
	}
	names, err := control.Names(c.String("runtime-dir"))
	if err != nil {
		return // a completion has nowhere to say so
	}
	for _, name := range names {
		_, _ = io.WriteString(a.stdout, name+"\n")
	}
}
