// Package subject starts, upgrades and ends what is compared: each library, the program that is just restarted, and the
// proxies, each the way its own documentation says.
package subject

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/handover-go/handover/bench/service"
)

// ErrMissing: what the subject needs is not installed. The text says what to install.
var ErrMissing = errors.New("not installed")

// Subject is one column of the table.
type Subject struct {
	Name    string
	Version string // of the library or program
	How     string // it is upgraded
	Faults  []service.Fault
	// Proxy: it passes requests on to a plain service that stays; so what is upgraded is the proxy itself.
	Proxy bool
	// Twin: it is another subject that is upgraded in another way, so that only upgrades tell them apart.
	Twin bool

	program string         // Debian's, that a proxy needs
	version *regexp.Regexp // how it tells which one it is
	prepare func(*Running) (*exec.Cmd, error)
	install func(*Running, service.Fault) error
	trigger func(context.Context, *Running) error
	// serving picks those that serve; default: all. root is the process that was started.
	serving func(all []Process, root int) []Process
}

// All are the subjects, in the order of the table.
func All() []*Subject {
	return []*Subject{alone(), kept(), tableflip(), endless(), overseer(), restarted(), nginxReload(), nginxBinary(), haproxy()}
}

// Select returns the subjects of those names, or all if there are none.
func Select(names []string) ([]*Subject, error) {
	all := All()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []*Subject
	for _, name := range names {
		i := slices.IndexFunc(all, func(s *Subject) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no subject %q: there are %s", name, strings.Join(Names(all), ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// Names of subjects.
func Names(subjects []*Subject) []string {
	var names []string
	for _, s := range subjects {
		names = append(names, s.Name)
	}
	return names
}

// Ours reports whether the service is replaced by handover, with or without its keeper.
func (s *Subject) Ours() bool { return s.Name == Alone || s.Name == Kept }

// Check finds out the version of what the subject needs from outside; ErrMissing if that is not installed.
func (s *Subject) Check(ctx context.Context) error {
	if s.program == "" {
		return nil
	}
	path, err := find(s.program)
	if err != nil {
		return fmt.Errorf("%s: %w: apt-get install -y --no-install-recommends %s", s.Name, ErrMissing, s.program)
	}
	said, err := exec.CommandContext(ctx, path, "-v").CombinedOutput()
	if err != nil {
		return fmt.Errorf("ask %s for its version: %w", s.program, err)
	}
	s.Version = s.version.FindString(string(said))
	return nil
}

// find looks also where Debian has servers, which is not in every user's path.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + program)
}

var libraryFaults = []service.Fault{service.Exits, service.Hangs, service.Crashes}
