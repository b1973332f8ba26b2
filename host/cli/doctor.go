package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/doctor"
	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/platform"
)

func (a *app) doctor() *cli.Command {
	return &cli.Command{
		Name: "doctor", ArgsUsage: "[NAME]", Usage: "find what would go wrong on this host, and how to mend it",
		Description: "Looks at limits, settings of the kernel, directories, sockets, memory and systemd, for the service of that name or for " +
			"every one there is, and changes nothing. Exit code 0 means that nothing fails; a warning is no failure.",
		Flags: []cli.Flag{
			outputFlag("text"),
			&cli.StringFlag{Name: "state-dir", Usage: "`DIR` where a keeper keeps builds", Sources: cli.EnvVars("HANDOVER_STATE_DIR")},
		},
		ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			name, err := named(c)
			if err != nil {
				return err
			}
			h := &doctor.Host{
				UID: os.Geteuid(), PID: os.Getpid(), TempDir: os.TempDir(), NotifySocket: os.Getenv("NOTIFY_SOCKET"),
				Supported: platform.Supported, NoExec: platform.NoExec, Unit: showUnit,
			}
			if h.RuntimeDir, err = service.RuntimeDir(c.String("runtime-dir")); err != nil {
				return err
			}
			if h.StateDir, err = stateDir(c.String("state-dir")); err != nil {
				return err
			}
			if h.Services, err = askAll(ctx, h.RuntimeDir, name); err != nil {
				return err
			}
			findings := h.Examine(ctx)
			if asJSON(c) {
				err = writeJSON(a.stdout, diagnosis{doctor.Worst(findings), findings})
			} else {
				err = writeFindings(a.stdout, findings)
			}
			if err == nil && doctor.Worst(findings) == doctor.Fail {
				err = quietly{exitError}
			}
			return err
		},
	}
}

type diagnosis struct {
	Verdict doctor.Verdict   `json:"verdict"` // the worst
	Checks  []doctor.Finding `json:"checks"`
}

func writeFindings(w io.Writer, all []doctor.Finding) error {
	for _, f := range all {
		if _, err := fmt.Fprintf(w, "%-4s  %-11s  %s\n", f.Verdict, f.Check, f.Detail); err != nil {
			return err
		}
		if f.Mend == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "                   mend: %s\n", f.Mend); err != nil {
			return err
		}
	}
	return nil
}

// patience is how long one service, or systemd, may take to answer.
const patience = 3 * time.Second

// askAll asks the service of that name, or all there are, how they are. A directory that may not be read is for the doctor to
// judge: it has no services then.
func askAll(ctx context.Context, dir, name string) ([]doctor.Service, error) {
	names := []string{name}
	if name == "" {
		names, _ = service.Names(dir)
	}
	var all []doctor.Service
	for _, n := range names {
		path, err := service.SocketPath(dir, n)
		if err != nil {
			path = "" // too long: the doctor measures it too
		}
		s := doctor.Service{Name: n, Path: path}
		within, cancel := context.WithTimeout(ctx, patience)
		found, err := ask(within, dir, n)
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.Status, s.Err, s.Absent = found.Status, err, err == nil && !found.Active && found.Status == nil
		all = append(all, s)
	}
	return all, nil
}

// showUnit asks systemd for a unit.
func showUnit(ctx context.Context, u doctor.Unit) doctor.Settings {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	args := []string{"show", "--property=" + strings.Join(doctor.Properties(), ",")}
	if u.User {
		args = append(args, "--user")
	}
	text, err := exec.CommandContext(ctx, "systemctl", append(args, "--", u.Name)...).Output()
	if err != nil {
		return nil
	}
	all := doctor.Settings{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			all[name] = value
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// stateDir is where keepers of this user keep builds: explicit, or what systemd made for the service, or the user's own.
func stateDir(explicit string) (string, error) {
	dir := explicit
	if dir == "" {
		dir, _, _ = strings.Cut(os.Getenv("STATE_DIRECTORY"), ":") // systemd.exec(5): colons between several
	}
	if xdg := os.Getenv("XDG_STATE_HOME"); dir == "" && filepath.IsAbs(xdg) {
		dir = filepath.Join(xdg, "handover")
	}
	if dir == "" && os.Geteuid() == 0 {
		dir = "/var/lib/handover"
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", failure{error: fmt.Errorf("find the state directory: %w", err), next: "name it by --state-dir or HANDOVER_STATE_DIR"}
		}
		dir = filepath.Join(home, ".local", "state", "handover")
	}
	return filepath.Abs(dir)
}
