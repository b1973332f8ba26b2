package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/service"
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
	acted          bool  // a command has begun: what is wrong from now on is not the parser's
	denied         error // what an agent said that turned this user away, if the service itself is asked instead
}

func (a *app) root() *cli.Command {
	root := &cli.Command{
		Name:  "handover",
		Usage: "replace a running service by its next build with nothing lost",
		Description: "NAME is the name of a service. Without it HANDOVER_NAME holds, and else the only service there is. The agent of the host is asked where one answers " +
			"that keeps the service, else the service itself.\n\n" + exitHelp(),
		Reader: a.stdin, Writer: a.stdout, ErrWriter: a.stderr,
		HideVersion:    true,
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // Run reports it
		OnUsageError:   func(_ context.Context, _ *cli.Command, err error, _ bool) error { return err },
		Suggest:        true,
		Flags: append([]cli.Flag{&cli.StringFlag{
			Name: "runtime-dir", Usage: "where takeover sockets lie", Sources: cli.EnvVars("HANDOVER_RUNTIME_DIR"),
			DefaultText: "as for the service: $XDG_RUNTIME_DIR/handover, /run/handover for root, else handover-UID in the temporary directory",
		}}, agentFlags()...),
		Commands: []*cli.Command{
			a.run(), a.upgrade(), a.status(), a.rollback(), a.stop(),
			a.agent(), a.services(), a.top(), a.plan(), a.promote(), a.abort(), a.pause(), a.resume(), a.start(), a.history(), a.logs(),
			a.release(), a.audit(), a.doctor(), a.demo(), a.version(),
		},
		Action:                          a.none,
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: func(c *cli.Command) { c.Hidden = false },
	}
	for _, c := range root.Commands {
		a.prepare(c, root.OnUsageError)
	}
	return root
}

// prepare gives a command, and those below it, what all commands have.
func (a *app) prepare(c *cli.Command, onUsageError cli.OnUsageErrorFunc) {
	c.OnUsageError, c.HideHelpCommand = onUsageError, true
	action := c.Action
	c.Action = func(ctx context.Context, c *cli.Command) error {
		a.acted = true
		if c.Name != keeps && c.Name != keepsAll {
			var stop context.CancelFunc
			ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
			defer stop()
		}
		return action(ctx, c)
	}
	if len(c.Commands) == 0 { // else what stands before --help is taken for a command
		c.CommandNotFound = func(_ context.Context, c *cli.Command, _ string) {
			cli.HelpPrinter(a.stdout, cli.CommandHelpTemplate, c)
		}
	}
	for _, below := range c.Commands {
		a.prepare(below, onUsageError)
	}
}

// keeps and keepsAll are the commands that obey signals themselves: heard twice, one would be a second wish to end, which shortens a drain.
const (
	keeps    = "run"
	keepsAll = "agent"
)

// none is a command line without a command, or without the command below one that has several.
func (a *app) none(_ context.Context, c *cli.Command) error {
	if !c.Args().Present() {
		if c.Root() != c {
			return cli.ShowSubcommandHelp(c)
		}
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

// named is the name of the service that is meant; empty if it is the only one.
func named(c *cli.Command) (string, error) {
	name, err := one(c, "service")
	if name == "" {
		name = os.Getenv("HANDOVER_NAME")
	}
	return name, err
}

// dial reaches the service that is meant.
func (a *app) dial(ctx context.Context, c *cli.Command) (*service.Client, error) {
	name, err := named(c)
	if err != nil {
		return nil, err
	}
	client, err := service.Dial(ctx, c.String("runtime-dir"), name)
	return client, a.denial(err)
}

// complete suggests the names of services, where an argument may be one.
func (a *app) complete(ctx context.Context, c *cli.Command) {
	cli.DefaultCompleteWithFlags(ctx, c)
	if c.Args().Present() {
		return
	}
	names, err := service.Names(c.String("runtime-dir"))
	if err != nil {
		names = nil // a completion has nowhere to say so
	}
	names = append(names, namesOf(ctx, c)...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		_, _ = io.WriteString(a.stdout, name+"\n")
	}
}
