package keeper

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/takeover"
)

// Config says what is kept and how. Command is needed; everything else has a default.
type Config struct {
	// Command is the service's program, found as a shell finds it, and Args are its arguments, without the command.
	Command string
	Args    []string
	// Env adds to the environment of the service, or replaces in it, in the form KEY=value.
	Env []string
	// Dir is the directory of the service. Default: this process's. A build that is asked for with a directory of its own is started
	// there instead, with HANDOVER_RELEASE in its environment.
	Dir string

	// Name of the service. Default: the file name of Command.
	Name string
	// RuntimeDir holds the takeover socket (see handover.Config). Default HANDOVER_RUNTIME_DIR, else as there.
	RuntimeDir string
	// StateDir holds copies of the builds that ran. Default: $STATE_DIRECTORY (systemd), else $XDG_STATE_HOME/handover/NAME,
	// /var/lib/handover/NAME for root, else ~/.local/state/handover/NAME. Where nothing can be written, builds are kept as
	// open files, which a rollback survives and the end of the keeper does not.
	StateDir string

	// Output is a directory, in which what each process of the service writes to standard output and error goes to a file of its own,
	// mode 0640, YYYYMMDDTHHMMSS.mmmZ-NNN.log by the time of its start; or journald:NAME, by which it goes to systemd's journal under
	// that identifier. The keeper opens it and has no part in it from then on; files are others' to remove. Where it cannot be opened, and by
	// default, a process writes to what the keeper does.
	Output string

	// Limits bound each process of the service, and not the keeper. The program that embeds the keeper must call Become.
	Limits []Limit

	// Listen has the keeper listen, at these addresses (host:port, or a path), for a program that does not embed handover. It
	// gets the sockets as systemd gives them (LISTEN_FDS), and is replaced by starting the next beside it. The program that
	// embeds the keeper must call Become. An address at which socket activation has brought a socket is not listened on again.
	Listen []string

	// Strategy is how a program with Listen is replaced. Default: the next one is started beside it, and both serve for a while. Nginx: by its
	// own master, which takes over from its workers and back to them; its sockets are those of Listen, host:port, at which it listens too.
	Strategy string
	// StopSignal tells a program with Listen to end. One that does not is sent SIGTERM, and then killed. Default SIGTERM; for nginx, SIGQUIT.
	StopSignal syscall.Signal

	// Health is asked of a generation before it is ready, and of the service while a handover is on probation.
	Health Health

	// ReadyTimeout bounds the time from the start of the first generation, or of the next one after a death, until it is
	// ready. Default HANDOVER_READY_TIMEOUT, else 60 s. That of an upgrade is the service's own; with Listen it is this one.
	ReadyTimeout time.Duration
	// Settle is how long a program with Listen must live to count as ready, if it neither has a Health to be asked for nor says
	// READY=1 as the generation before it did. Default 1 s.
	Settle time.Duration
	// Probation is, with Listen, how long the generation before serves on beside the next one that is ready. Default
	// HANDOVER_PROBATION, else 10 s.
	Probation time.Duration
	// DrainTimeout is, with Listen, how long a generation has to end after SIGTERM, when the next one serves. Then it is killed.
	// Default HANDOVER_DRAIN_TIMEOUT, else 30 s.
	DrainTimeout time.Duration
	// StopTimeout is how long the service has to end when the keeper is told to end. Then it is killed. Default: by the HANDOVER_STOP_TIMEOUT
	// that the service is started with, as the function StopTimeout says.
	StopTimeout time.Duration
	// Restarts is how many times in a row the service may die within Steady of serving, or before; then it is given up.
	// Default 10.
	Restarts int
	// Steady is the time of serving after which earlier deaths are forgotten. Default 10 s.
	Steady time.Duration

	// Logger takes what happens. Default slog.Default().
	Logger *slog.Logger
}

// Health is a check by HTTP. The zero value checks nothing.
type Health struct {
	// Path is asked for with GET, on the service's first stream listener; a status from 200 to 399 is health.
	Path string
	// TLS asks in HTTPS. The certificate is not verified: the other end is known.
	TLS bool
	// Interval is the time between two checks, Timeout bounds one of them, Failures is how many in a row are a verdict. Defaults
	// 1 s, 5 s and 3.
	Interval, Timeout time.Duration
	Failures          int
}

// withDefaults returns c with every open field filled, or an error that names what is wrong.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	positive := func(d *time.Duration, name string, fallback time.Duration) {
		if *d < 0 {
			errs = append(errs, fmt.Errorf("Config.%s is %s: give a positive duration, or 0 for the default", name, *d))
		}
		if *d == 0 {
			*d = fallback
		}
	}
	count := func(n *int, name string, fallback int) {
		if *n < 0 {
			errs = append(errs, fmt.Errorf("Config.%s is %d: give a positive number, or 0 for the default", name, *n))
		}
		if *n == 0 {
			*n = fallback
		}
	}
	variable := func(name string, fallback time.Duration) time.Duration {
		v := c.variable(name)
		if v == "" {
			return fallback
		}
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			errs = append(errs, fmt.Errorf("%s=%q: give a positive duration such as 500ms or 10s", name, v))
		}
		return d
	}
	positive(&c.ReadyTimeout, "ReadyTimeout", variable("HANDOVER_READY_TIMEOUT", time.Minute))
	if len(c.Listen) > 0 { // else these variables are the service's own
		positive(&c.Settle, "Settle", time.Second)
		positive(&c.Probation, "Probation", variable("HANDOVER_PROBATION", 10*time.Second))
		positive(&c.DrainTimeout, "DrainTimeout", variable("HANDOVER_DRAIN_TIMEOUT", 30*time.Second))
	}
	positive(&c.StopTimeout, "StopTimeout", 0) // see Keeper.stopTimeout
	_ = variable("HANDOVER_STOP_TIMEOUT", 0)
	positive(&c.Steady, "Steady", 10*time.Second)
	positive(&c.Health.Interval, "Health.Interval", time.Second)
	positive(&c.Health.Timeout, "Health.Timeout", 5*time.Second)
	count(&c.Health.Failures, "Health.Failures", 3)
	count(&c.Restarts, "Restarts", 10)
	if c.Health.Path != "" && !strings.HasPrefix(c.Health.Path, "/") {
		errs = append(errs, fmt.Errorf("health path %q: begin it with a slash", c.Health.Path))
	}
	for _, l := range c.Limits {
		if err := l.validate(); err != nil {
			errs = append(errs, fmt.Errorf("Config.Limits: %w", err))
		}
	}
	if err := c.replacing(); err != nil {
		errs = append(errs, err)
	}
	if (len(c.Listen) > 0 || len(c.Limits) > 0) && !becomes.Load() {
		errs = append(errs, errBecome)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := c.locate(); err != nil {
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

// replacing settles how a program with Listen is replaced.
func (c *Config) replacing() error {
	var errs []error
	if len(c.Listen) == 0 && (c.Strategy != "" || c.StopSignal != 0) {
		errs = append(errs, errors.New("Config.Strategy and Config.StopSignal are for a program with Config.Listen: give it"))
	}
	switch c.Strategy {
	case "":
	case Nginx:
		if c.StopSignal == 0 {
			c.StopSignal = syscall.SIGQUIT
		}
		for _, address := range c.Listen {
			if networkOf(address) == "unix" { // whose path it would remove when it ends (ngx_close_listening_sockets)
				errs = append(errs, fmt.Errorf("listen %q: for nginx, give host:port", address))
			}
		}
	default:
		errs = append(errs, fmt.Errorf("Config.Strategy is %q: give %q, or none", c.Strategy, Nginx))
	}
	if c.StopSignal == 0 {
		c.StopSignal = syscall.SIGTERM
	}
	return errors.Join(errs...)
}

// variable is the value of a variable as the service gets it.
func (c *Config) variable(name string) string {
	for _, v := range slices.Backward(c.Env) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return os.Getenv(name)
}

// locate settles the paths: later the directory may have changed.
func (c *Config) locate() error {
	if c.Command == "" {
		return errors.New("no command: give the program of the service")
	}
	path, err := exec.LookPath(c.Command)
	if err != nil {
		return fmt.Errorf("find the service's program: %w", err)
	}
	if c.Command, err = filepath.Abs(path); err != nil {
		return err
	}
	if c.Dir == "" {
		if c.Dir, err = os.Getwd(); err != nil {
			return err
		}
	}
	if c.Name == "" {
		c.Name = filepath.Base(c.Command)
	}
	if err := takeover.CheckName(c.Name); err != nil {
		return err
	}
	if c.RuntimeDir == "" {
		c.RuntimeDir = os.Getenv("HANDOVER_RUNTIME_DIR")
	}
	if c.StateDir == "" {
		c.StateDir = stateDir(c.Name)
	}
	if name, ok := strings.CutPrefix(c.Output, journalPrefix); ok {
		if name == "" || strings.ContainsAny(name, "\n\x00") {
			return fmt.Errorf("output %q: give a name of one line behind %s", c.Output, journalPrefix)
		}
	} else if c.Output != "" {
		if c.Output, err = filepath.Abs(c.Output); err != nil {
			return err
		}
	}
	return nil
}

// stateDir is where the builds of the service are kept by default.
func stateDir(name string) string {
	if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return filepath.Join(dir, name)
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "handover", name)
	}
	if os.Geteuid() == 0 {
		return filepath.Join("/var/lib/handover", name)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), fmt.Sprintf("handover-%d", os.Geteuid()), name)
	}
	return filepath.Join(home, ".local/state/handover", name)
}
