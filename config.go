package handover

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/handover-go/handover/internal/takeover"
)

// Config says how a service is handed over. The zero value is useful. Where a field is zero, its environment variable is
// read, and then its default holds; so an operator can set what the program left open.
type Config struct {
	// Name of the service. A named service has a takeover socket, at which its state can be asked for and where a process
	// started by systemd or by hand joins as successor. Default HANDOVER_NAME, else none.
	Name string

	// RuntimeDir holds takeover sockets; mode 0700, owned by the user of the service. Default HANDOVER_RUNTIME_DIR, else
	// $XDG_RUNTIME_DIR/handover, /run/handover for root, or handover-UID in the directory for temporary files.
	RuntimeDir string

	// Logger takes what happens at handovers. Default slog.Default().
	Logger *slog.Logger

	// Signals that upgrade and end the service. A list that is not nil replaces the default; an empty one switches those
	// signals off. Defaults: SIGUSR2 upgrades, SIGTERM and SIGINT end gracefully.
	Signals Signals

	// Command of the successor. Default: this program, at the path by which it was started, so that a replaced file or a
	// moved link is followed; if that path does not lead to this program, its own executable.
	Command string
	// Args of the successor, without the command. Default (nil): the arguments of this process.
	Args []string
	// Env adds to the successor's environment, or replaces in it, in the form KEY=value.
	Env []string
	// Dir of the successor. Default: the directory in which this process was when New was called.
	Dir string

	// Check is run by a successor on itself before it declares itself ready, by a first generation before it serves, and
	// by the incumbent on its successor, every CheckInterval through probation. dial connects to the generation in
	// question, not through the network: any of its listeners by the network and address given to Listen, and with both
	// empty the first. The connection is real: it comes out of the listener's Accept. ctx ends after CheckTimeout.
	// Default: none.
	Check func(ctx context.Context, dial DialFunc) error
	// CheckTimeout bounds one run of Check. Default HANDOVER_CHECK_TIMEOUT, else 5 s.
	CheckTimeout time.Duration
	// CheckInterval is the time between two checks in probation. Default HANDOVER_CHECK_INTERVAL, else 1 s.
	CheckInterval time.Duration
	// CheckFailures is how many checks in a row must fail in probation for the successor to be taken back. Default
	// HANDOVER_CHECK_FAILURES, else 3.
	CheckFailures int

	// ReadyTimeout bounds the time from the start of a successor until it declares itself ready. Default
	// HANDOVER_READY_TIMEOUT, else 60 s.
	ReadyTimeout time.Duration
	// FreezeTimeout bounds the pause before the commit; past it the handover is aborted. Default HANDOVER_FREEZE_TIMEOUT,
	// else 5 s. Without background work and state of peers ([Process.CarryPeers]) the pause takes well under a millisecond.
	FreezeTimeout time.Duration
	// Probation is how long the incumbent stands by after the commit. Default HANDOVER_PROBATION, else 10 s.
	Probation time.Duration
	// DrainTimeout bounds the time a generation takes to finish what it holds after it stopped serving. Default
	// HANDOVER_DRAIN_TIMEOUT, else 1 h: only connections that could not follow are held, and they cost little. Handlers that
	// asked for it by WithDrainDeadline are told a second before, or a tenth of it if that is less.
	DrainTimeout time.Duration
	// MigrationShare is for how much of its time a generation that has left moves connections to the one that serves, above 0 and up to 1:
	// after each few it rests, so that those who work do not wait. 1 is without rests, and so is the second half of DrainTimeout.
	// Default HANDOVER_MIGRATION_SHARE, else 0.25.
	MigrationShare float64
	// StopTimeout bounds the time an ending service takes to finish requests in flight, when no other generation serves.
	// Default HANDOVER_STOP_TIMEOUT, else 30 s.
	StopTimeout time.Duration
	// MaxDraining is how many generations may drain at the same time; Upgrade answers ErrTooManyDraining beyond. Default
	// HANDOVER_MAX_DRAINING, else 8.
	MaxDraining int

	// ListenConfig makes the listeners of a first generation, and those that a successor adds. A listener that is passed on
	// keeps the options it has; where ListenConfig would have set others, that is logged.
	ListenConfig net.ListenConfig

	// TLSListener makes the listener of a server that [Process.AttachTLS] attaches, when Run begins. Default (nil): that of
	// net/http, whose connections stay with the generation that accepted them. Listener of contrib/livetls is one whose connections go on
	// in the next.
	TLSListener TLSListener
}

// TLSListener makes a listener that accepts what ln does, a listener of p, and shakes hands with config, which is its own. srv serves what it accepts: a
// [*tls.Conn], as that of [tls.NewListener]; or a connection that speaks HTTP/1.1, stands on a [*Session] of p, to which its
// NetConn method leads, and has a ConnectionState method, as a tls.Conn does. Of such a one, a method ObserveState(http.ConnState) is
// called as srv.ConnState is, before it. When ln ends, the listener ends once what it has accepted is handed out; Close ends both. It
// may register sessions of p. What a method Figures() TLSFigures returns is part of the service's status.
type TLSListener func(p *Process, srv *http.Server, ln net.Listener, config *tls.Config) (net.Listener, error)

// TLSFigures tell of connections over TLS that go on in other generations. They are those of this process, since it began.
type TLSFigures struct {
	Off    string            // why none does, "" if they do
	Left   uint64            // connections let go to another generation; one that came back and left again counts twice
	Came   uint64            // connections taken from another generation, or back
	Stayed map[string]uint64 // connections that cannot go, by reason: of contrib/livetls, see there
}

// Signals are those that a service obeys.
type Signals struct {
	Upgrade []os.Signal
	Stop    []os.Signal
}

// DialFunc connects to a listener of a generation.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// off reports whether HANDOVER=off disables everything, as a debugger wants it.
func off() bool { return os.Getenv("HANDOVER") == "off" }

// withDefaults returns c with every open field filled from its variable or default, or an error that names what is wrong.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	text := func(field *string, variable string) {
		if *field == "" {
			*field = os.Getenv(variable)
		}
	}
	duration := func(field *time.Duration, name, variable string, fallback time.Duration) {
		if *field < 0 {
			errs = append(errs, fmt.Errorf("Config.%s is %s: give a positive duration, or 0 for the default", name, *field))
		}
		if *field != 0 {
			return
		}
		*field = fallback
		if v := os.Getenv(variable); v != "" {
			d, err := time.ParseDuration(v)
			if err != nil || d <= 0 {
				errs = append(errs, fmt.Errorf("%s=%q: give a positive duration such as 500ms or 10s", variable, v))
				return
			}
			*field = d
		}
	}
	count := func(field *int, name, variable string, fallback int) {
		if *field < 0 {
			errs = append(errs, fmt.Errorf("Config.%s is %d: give a positive number, or 0 for the default", name, *field))
		}
		if *field != 0 {
			return
		}
		*field = fallback
		if v := os.Getenv(variable); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n <= 0 {
				errs = append(errs, fmt.Errorf("%s=%q: give a positive number", variable, v))
				return
			}
			*field = n
		}
	}

	share := func(field *float64, name, variable string, fallback float64) {
		if *field < 0 || *field > 1 || *field != *field {
			errs = append(errs, fmt.Errorf("Config.%s is %g: give a number above 0 and up to 1, or 0 for the default", name, *field))
		}
		if *field != 0 {
			return
		}
		*field = fallback
		if v := os.Getenv(variable); v != "" {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil || !(f > 0 && f <= 1) {
				errs = append(errs, fmt.Errorf("%s=%q: give a number above 0 and up to 1", variable, v))
				return
			}
			*field = f
		}
	}

	text(&c.Name, "HANDOVER_NAME")
	text(&c.RuntimeDir, "HANDOVER_RUNTIME_DIR")
	duration(&c.CheckTimeout, "CheckTimeout", "HANDOVER_CHECK_TIMEOUT", 5*time.Second)
	duration(&c.CheckInterval, "CheckInterval", "HANDOVER_CHECK_INTERVAL", time.Second)
	count(&c.CheckFailures, "CheckFailures", "HANDOVER_CHECK_FAILURES", 3)
	duration(&c.ReadyTimeout, "ReadyTimeout", "HANDOVER_READY_TIMEOUT", time.Minute)
	duration(&c.FreezeTimeout, "FreezeTimeout", "HANDOVER_FREEZE_TIMEOUT", 5*time.Second)
	duration(&c.Probation, "Probation", "HANDOVER_PROBATION", 10*time.Second)
	duration(&c.DrainTimeout, "DrainTimeout", "HANDOVER_DRAIN_TIMEOUT", time.Hour)
	share(&c.MigrationShare, "MigrationShare", "HANDOVER_MIGRATION_SHARE", 0.25)
	duration(&c.StopTimeout, "StopTimeout", "HANDOVER_STOP_TIMEOUT", 30*time.Second)
	count(&c.MaxDraining, "MaxDraining", "HANDOVER_MAX_DRAINING", 8)

	if err := takeover.CheckName(c.Name); err != nil {
		errs = append(errs, err)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Signals.Upgrade == nil {
		c.Signals.Upgrade = defaultUpgradeSignals
	}
	if c.Signals.Stop == nil {
		c.Signals.Stop = defaultStopSignals
	}
	return c, errors.Join(errs...)
}
