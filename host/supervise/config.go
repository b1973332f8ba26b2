package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/observe"
	"github.com/handover-go/handover/host/release"
)

// Config says how one service is kept. Name, Command or Releases, and the directories are needed; everything else has a default.
type Config struct {
	// Name of the service, as its takeover socket has it.
	Name string
	// Command is the program: absolute, or of a service with Releases relative to the release. Default: what the release says.
	Command string
	// Args are its arguments, Env its environment beside PATH and what an account has, in the form KEY=value.
	Args, Env []string
	// Directory is its working directory. Default: that of its release, else /.
	Directory string
	// Account is who it runs as, and its keeper and the programs of its Checks with it. Default: as this process.
	Account *Account
	// Limits are resource limits as "handover run --limit" takes them: nofile=1024:4096.
	Limits []string
	// Cgroup is a directory of cgroupfs into which the keeper is born, and all that it starts. Default: this process's.
	Cgroup string
	// Listen are addresses at which the keeper listens, for a program that does not embed handover.
	Listen []string
	// Strategy is how a program that does not embed handover is replaced: empty, or "nginx"; StopSignal is what it is told to end by.
	Strategy, StopSignal string
	// Health is what the keeper asks a generation before it may serve, and in probation.
	Health Health

	// What the keeper, or the service's library, is given. Defaults: theirs; of StopTimeout 90 s.
	ReadyTimeout, FreezeTimeout, Probation, DrainTimeout, StopTimeout time.Duration
	MaxDraining                                                       int

	// RuntimeDir is where its takeover socket lies, StateDir where its keeper keeps builds, OutputDir where its output goes.
	RuntimeDir, StateDir, OutputDir string
	// Journald has its output go to systemd's journal instead.
	Journald bool
	// Output bounds what is kept of OutputDir.
	Output Rotation

	// Releases of the service; nil if it is started from a file that others put there.
	Releases *release.Store
	// Trust is what a release must satisfy to be taken in.
	Trust release.Policy
	// Source is where releases come from, if a request names none.
	Source string
	// Keep is how many releases stay on disk beside those in use. Default 3.
	Keep int

	// Checks are made all the time, and count in probation and bake time.
	Checks []observe.Probe
	// Policy is what a build must live up to.
	Policy judge.Policy
	// Bake is how long a build is watched after the handover to it is final. Default 5 min; negative: not at all.
	Bake time.Duration
	// CheckVersion wants the build to report the version that its release promises.
	CheckVersion bool
	// Heartbeat wants the service's library to answer.
	Heartbeat bool
	// Rates has requests, errors and latencies counted by the service's library, and compared with those of the build before.
	Rates bool
	// Hook is called at the phases of an upgrade. What it says goes into the record; from the phase before it may veto. Default: nothing.
	Hook func(ctx context.Context, phase Phase, upgrade journal.Upgrade) (said []string, veto error)
	// Gate is waited for before a keeper is started, and the function that it returns is called when the start is over. Default: nothing.
	Gate func(ctx context.Context) (started func(), err error)

	// Keeper is the command line that a keeper is started by, to which "run" and its flags are added. Default: this program.
	Keeper []string
	// Logger takes what happens. Default slog.Default().
	Logger *slog.Logger
}

// Health is a request by HTTP of the keeper's. The zero value is none.
type Health struct {
	Path              string
	TLS               bool
	Interval, Timeout time.Duration // Defaults: the keeper's
	Failures          int           // in a row. Default: the keeper's
}

// Phase of an upgrade, for hooks.
type Phase string

// The phases.
const (
	Before    Phase = "before"    // nothing was changed yet
	Switched  Phase = "switched"  // the successor serves, on probation
	Committed Phase = "committed" // it is final
	Kept      Phase = "kept"      // the bake time ended well
	Returned  Phase = "returned"  // the build before serves again
)

// Account is a user of the host.
type Account struct {
	Name     string
	UID, GID uint32
	Groups   []uint32 // supplementary
	Home     string
}

// credential is what a process of the account is started with. Only root can give groups, and anyone else has those of his own.
func (a *Account) credential() *syscall.Credential {
	return &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: a.Groups, NoSetGroups: os.Geteuid() != 0}
}

// environment of any process of the account. nil is that of this process.
func (a *Account) environment() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if a != nil {
		env = append(env, "USER="+a.Name, "LOGNAME="+a.Name, "HOME="+a.Home)
	}
	return env
}

// Validate returns an error that names all that is wrong.
func (c Config) Validate() error {
	_, err := c.withDefaults()
	return err
}

// withDefaults returns c with every open field filled, or an error that names what is wrong.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Name == "" {
		wrong("Config.Name is empty: give the service a name")
	}
	if c.Command == "" && c.Releases == nil {
		wrong("Config.Command is empty: give a program, or releases that have one")
	}
	if c.Command != "" && c.Releases == nil && !filepath.IsAbs(c.Command) {
		wrong("Config.Command is %q: give an absolute path, as there is no release that it could lie in", c.Command)
	}
	for _, d := range []struct{ name, path string }{{"RuntimeDir", c.RuntimeDir}, {"StateDir", c.StateDir}, {"OutputDir", c.OutputDir}} {
		if !filepath.IsAbs(d.path) {
			wrong("Config.%s is %q: give an absolute path", d.name, d.path)
		}
	}
	for _, v := range c.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
			wrong("Config.Env has %q: give KEY=value", v)
		}
	}
	if err := c.Policy.Validate(); err != nil {
		wrong("Config.Policy: %w", err)
	}
	c.Bake = cmp.Or(c.Bake, 5*time.Minute)
	c.Keep = cmp.Or(c.Keep, 3)
	c.StopTimeout = cmp.Or(c.StopTimeout, 90*time.Second)
	c.Output = c.Output.withDefaults()
	if len(c.Keeper) == 0 {
		c.Keeper = []string{"/proc/self/exe"} // which is this program even when its file has been replaced
	}
	c.Logger = cmp.Or(c.Logger, slog.Default()).With("service", c.Name)
	return c, errors.Join(errs...)
}

// program is what is started of a release, or without one.
func (c *Config) program(r release.Release) (command, dir string) {
	command, dir = c.Command, c.Directory
	if r.ID != "" {
		if command == "" {
			command = r.Command()
		} else if !filepath.IsAbs(command) {
			command = filepath.Join(r.Dir, command)
		}
		dir = cmp.Or(dir, r.Dir)
	}
	return command, cmp.Or(dir, "/")
}

// environment of the keeper, and so of the service.
func (c *Config) environment() []string {
	return slices.Concat(c.Account.environment(), c.Env)
}
