package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/internal/takeover"
	"github.com/handover-go/handover/keeper"
)

// RunOptions are what "handover run" was given. Zero means that the default of the keeper holds.
type RunOptions struct {
	Name           string // of the service
	Command        []string
	Env            []string // added to the environment of the service, KEY=value
	Listen         []Listen // for a service that does not embed handover
	Strategy       string   // how that is replaced
	StopSignal     string   // by its name; empty: that of the strategy
	Health         string   // path of a request whose answer says whether the service is well; empty: none
	HealthTLS      bool
	HealthInterval time.Duration
	HealthTimeout  time.Duration
	HealthFailures int    // in a row
	StateDir       string // where builds are kept
	Limits         []keeper.Limit
	Output         string // a directory of files, or journald:NAME
	RuntimeDir     string // as given
	Logger         *slog.Logger
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Listen is an address of "handover run --listen".
type Listen struct{ Network, Address string }

func (a *app) run() *cli.Command {
	return &cli.Command{
		Name: keeps, ArgsUsage: "-- COMMAND [ARGS...]", Usage: "run a service under a keeper",
		Description: "The keeper is a stable parent, fit to be PID 1 of a container or the main process of a systemd unit. It holds every listener " +
			"of the service as well, keeps the build that runs, starts every successor, and starts the service anew when it dies.\n\n" +
			"SIGUSR2 upgrades, SIGTERM and SIGINT end the service gracefully.",
		Flags:  runFlags(),
		Action: a.runService,
	}
}

func runFlags() []cli.Flag {
	const keepers = "the keeper's own"
	flags := []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "`NAME` of the service", DefaultText: "that of the command", Sources: cli.EnvVars("HANDOVER_NAME"), Validator: takeover.CheckName},
		&cli.StringSliceFlag{Name: "listen", Usage: "listen at `ADDR`, HOST:PORT or a path, for a service that does not embed handover; may be given again", Sources: cli.EnvVars("HANDOVER_LISTEN")},
		&cli.StringFlag{Name: "strategy", Usage: "how such a service is replaced: by starting the next one beside it, or, nginx, by its own master", DefaultText: "the next one is started beside it", Sources: cli.EnvVars("HANDOVER_STRATEGY"), Validator: strategy},
		&cli.StringFlag{Name: "stop-signal", Usage: "`SIGNAL` by which such a service is told to end, as QUIT", DefaultText: "TERM; for nginx QUIT", Sources: cli.EnvVars("HANDOVER_STOP_SIGNAL"), Validator: stopSignal},
		&cli.StringFlag{Name: "health", Usage: "`PATH` of a request whose answer says whether the service is well", Sources: cli.EnvVars("HANDOVER_HEALTH"), Validator: healthPath},
		&cli.BoolFlag{Name: "health-tls", Usage: "ask in HTTPS; the certificate is not verified, as the other end is known", Sources: cli.EnvVars("HANDOVER_HEALTH_TLS")},
		&cli.DurationFlag{Name: "health-interval", Usage: "the time between two such requests", DefaultText: keepers, Sources: cli.EnvVars("HANDOVER_HEALTH_INTERVAL"), Validator: positive},
		&cli.DurationFlag{Name: "health-timeout", Usage: "how long the answer may take", DefaultText: keepers, Sources: cli.EnvVars("HANDOVER_HEALTH_TIMEOUT"), Validator: positive},
		&cli.IntFlag{Name: "health-failures", Usage: "how many in a row make it unwell", DefaultText: keepers, Sources: cli.EnvVars("HANDOVER_HEALTH_FAILURES"), Validator: atLeastOne},
		&cli.StringFlag{Name: "state-dir", Usage: "`DIR` where builds are kept", DefaultText: "$STATE_DIRECTORY, or handover/NAME in the user's own", Sources: cli.EnvVars("HANDOVER_STATE_DIR")},
		&cli.StringFlag{Name: "output", Usage: "`DIR` in which each process of the service has a file for what it writes, or journald:NAME", DefaultText: "the keeper's own", Sources: cli.EnvVars("HANDOVER_RUN_OUTPUT")},
		&cli.StringSliceFlag{Name: "limit", Usage: "`RESOURCE=SOFT[:HARD]` for each process of the service, as nofile=1024:4096, of numbers or unlimited; may be given again", Sources: cli.EnvVars("HANDOVER_LIMIT")},
		&cli.StringFlag{Name: "log-format", Value: "text", Usage: "text or json", Sources: cli.EnvVars("HANDOVER_LOG_FORMAT"), Validator: logFormat},
		&cli.StringFlag{Name: "log-level", Value: "info", Usage: "debug, info, warn or error", Sources: cli.EnvVars("HANDOVER_LOG_LEVEL"), Validator: logLevel},
	}
	for _, p := range passed {
		flags = append(flags, p.cliFlag())
	}
	return flags
}

// passed are flags that set a variable of the service's, which its library reads. What the service sets itself holds.
var passed = []passedFlag{
	{flag: "ready-timeout", variable: "HANDOVER_READY_TIMEOUT", usage: "how long a successor may take until it is ready"},
	{flag: "freeze-timeout", variable: "HANDOVER_FREEZE_TIMEOUT", usage: "how long the pause before the commit may be"},
	{flag: "probation", variable: "HANDOVER_PROBATION", usage: "how long the generation before stands by"},
	{flag: "drain-timeout", variable: "HANDOVER_DRAIN_TIMEOUT", usage: "how long a generation may take to finish what it holds"},
	{flag: "migration-share", variable: "HANDOVER_MIGRATION_SHARE", usage: "for how much of its time a generation that has left moves connections, above 0 and up to 1", of: share},
	{flag: "stop-timeout", variable: "HANDOVER_STOP_TIMEOUT", usage: "how long an ending service may take to finish"},
	{flag: "max-draining", variable: "HANDOVER_MAX_DRAINING", usage: "how many generations may drain at a time", of: count},
	{flag: "check-timeout", variable: "HANDOVER_CHECK_TIMEOUT", usage: "how long one run of the service's own check may take"},
	{flag: "check-interval", variable: "HANDOVER_CHECK_INTERVAL", usage: "the time between two checks in probation"},
	{flag: "check-failures", variable: "HANDOVER_CHECK_FAILURES", usage: "how many checks in a row must fail", of: count},
}

type passedFlag struct {
	flag, variable, usage string
	of                    passedKind
}

type passedKind uint8

const (
	span passedKind = iota
	count
	share
)

func (p passedFlag) cliFlag() cli.Flag {
	const category, text = "PASSED TO THE SERVICE", "the service's own"
	from := cli.EnvVars(p.variable)
	switch p.of {
	case count:
		return &cli.IntFlag{Name: p.flag, Usage: p.usage, DefaultText: text, Category: category, Sources: from, Validator: atLeastOne}
	case share:
		return &cli.FloatFlag{Name: p.flag, Usage: p.usage, DefaultText: text, Category: category, Sources: from, Validator: upToOne}
	default:
		return &cli.DurationFlag{Name: p.flag, Usage: p.usage, DefaultText: text, Category: category, Sources: from, Validator: positive}
	}
}

func (a *app) runService(ctx context.Context, c *cli.Command) error {
	o, err := a.runOptions(c)
	if err != nil {
		return err
	}
	return runKeeper(ctx, o)
}

func (a *app) runOptions(c *cli.Command) (RunOptions, error) {
	o := RunOptions{
		Name: c.String("name"), Command: c.Args().Slice(), StateDir: c.String("state-dir"), Output: c.String("output"),
		Strategy: c.String("strategy"), StopSignal: c.String("stop-signal"), Health: c.String("health"), HealthTLS: c.Bool("health-tls"), HealthInterval: c.Duration("health-interval"),
		HealthTimeout: c.Duration("health-timeout"), HealthFailures: c.Int("health-failures"), RuntimeDir: c.String("runtime-dir"),
		Logger: a.logger(c.String("log-format"), c.String("log-level")), Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr,
	}
	if len(o.Command) == 0 || o.Command[0] == "" {
		return o, wrongUse("run: no command: give it and its arguments after --, as in handover run -- ./server")
	}
	for _, address := range c.StringSlice("listen") {
		l, err := parseListen(address)
		if err != nil {
			return o, usageError{err}
		}
		o.Listen = append(o.Listen, l)
	}
	for _, text := range c.StringSlice("limit") {
		l, err := keeper.ParseLimit(text)
		if err != nil {
			return o, usageError{fmt.Errorf("run: %w", err)}
		}
		o.Limits = append(o.Limits, l)
	}
	if len(o.Listen) == 0 {
		for _, f := range []string{"strategy", "stop-signal"} {
			if c.IsSet(f) {
				return o, wrongUse("run: --%s needs --listen", f)
			}
		}
	}
	if o.Health == "" {
		for _, f := range []string{"health-tls", "health-interval", "health-timeout", "health-failures"} {
			if c.IsSet(f) {
				return o, wrongUse("run: --%s needs --health", f)
			}
		}
	}
	for _, p := range passed {
		if c.IsSet(p.flag) {
			o.Env = append(o.Env, fmt.Sprintf("%s=%v", p.variable, c.Value(p.flag)))
		}
	}
	return o, nil
}

// parseListen reads HOST:PORT, or the path of a unix socket.
func parseListen(address string) (Listen, error) {
	if strings.ContainsRune(address, '/') {
		return Listen{"unix", address}, nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return Listen{}, fmt.Errorf("run: listen %q: %w: give HOST:PORT, :PORT or the path of a unix socket", address, err)
	}
	return Listen{"tcp", address}, nil
}

// logger writes what the keeper does to standard error.
func (a *app) logger(format, level string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // it was validated
	o := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.stderr, o))
}

func logFormat(s string) error {
	if s != "" && s != "text" && s != "json" {
		return fmt.Errorf("log format %q: give text or json", s)
	}
	return nil
}

func logLevel(s string) error {
	switch s {
	case "", "debug", "info", "warn", "error":
		return nil
	}
	return fmt.Errorf("log level %q: give debug, info, warn or error", s)
}

func healthPath(s string) error {
	if s != "" && !strings.HasPrefix(s, "/") {
		return fmt.Errorf("health path %q: give the path of a request, such as /healthz", s)
	}
	return nil
}

func strategy(s string) error {
	if s != "" && s != keeper.Nginx {
		return fmt.Errorf("strategy %q: give %s, or none", s, keeper.Nginx)
	}
	return nil
}

func stopSignal(s string) error {
	if s == "" {
		return nil
	}
	_, err := keeper.ParseSignal(s)
	return err
}

func positive(d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%s: give a positive duration such as 500ms or 10s", d)
	}
	return nil
}

func upToOne(f float64) error {
	if !(f > 0 && f <= 1) {
		return fmt.Errorf("%g: give a number above 0 and up to 1", f)
	}
	return nil
}

func atLeastOne(n int) error {
	if n < 1 {
		return fmt.Errorf("%d: give a positive number", n)
	}
	return nil
}
