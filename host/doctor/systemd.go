package doctor

import (
	"context"
	"path"
	"slices"
	"strings"
)

// Unit is a systemd unit.
type Unit struct {
	Name string
	User bool // of a user's own manager
}

// Settings are properties of a unit, by name, as "systemctl show" writes them.
type Settings map[string]string

// Properties are those that are judged.
func Properties() []string {
	all := []string{"RestrictAddressFamilies"}
	for _, r := range rules {
		all = append(all, r.property)
	}
	return all
}

// rules are what deploy/systemd/handover-alone.service sets, and why.
var rules = []struct {
	property string
	good     []string // empty: anything but bad
	bad      []string
	keeper   []string // good under a keeper too
	verdict  Verdict
	why      string
	setting  string
}{
	{"Type", []string{"notify", "notify-reload"}, nil, nil, Fail, "systemd is not told which process is the main one, and takes the end of the first for the end of the service", "Type=notify"},
	{"NotifyAccess", []string{"all"}, nil, []string{"main"}, Fail, "systemd does not listen to the next generation, which reports for itself", "NotifyAccess=all"},
	{"ExitType", []string{"cgroup"}, nil, []string{"main"}, Fail, "an incumbent that is killed in probation takes its successor along (systemd before 250 has no such setting)", "ExitType=cgroup"},
	{"KillMode", []string{"control-group"}, nil, []string{"mixed"}, Warn, "generations that drain are killed, or left behind, when the service is stopped", "KillMode=control-group"},
	{"Restart", []string{"always"}, nil, []string{"on-failure", "on-abnormal", "on-watchdog", "on-abort"}, Warn, "nobody starts the service again after a crash", "Restart=always"},
	{"WatchdogUSec", nil, []string{"", "0", "infinity"}, []string{"", "0", "infinity"}, Warn, "while another generation drains, systemd does not notice that the one that serves has died", "WatchdogSec=10"},
	{"OOMPolicy", []string{"continue"}, nil, nil, Warn, "a successor that runs out of memory takes the incumbent along", "OOMPolicy=continue"},
	{"ProcSubset", nil, []string{"pid"}, nil, Warn, "net.core.somaxconn is hidden, so Go listens with a backlog of 128", "ProcSubset=all"},
}

// systemd is asked for the units in which services run.
func (h *Host) systemd(ctx context.Context) []Finding {
	const check = "systemd"
	var all []Finding
	for _, s := range h.subjects() {
		unit, ok := unitOf(h.cgroup(s.pid))
		if !ok || s.service == nil && h.NotifySocket == "" {
			continue
		}
		settings := h.Unit(ctx, unit)
		if settings == nil {
			all = append(all, Finding{check, Warn, "systemd cannot be asked for " + unit.Name + ", in which " + s.who + " runs", "ask on the host instead of in the container, as the user of the unit or as root"})
			continue
		}
		kept := s.service != nil && s.service.Status.Keeper != nil
		faults := settings.judge(unit, kept)
		if len(faults) == 0 {
			faults = well(check, unit.Name+" is set up for handovers")
		}
		all = append(all, faults...)
	}
	if len(all) == 0 {
		return well(check, "no service runs in a unit")
	}
	return all
}

// judge compares a unit with the one that is known to work.
func (s Settings) judge(u Unit, kept bool) []Finding {
	var all []Finding
	edit := "systemctl edit " + u.Name
	if u.User {
		edit = "systemctl --user edit " + u.Name
	}
	edit += ", and there under [Service]: "
	for _, r := range rules {
		value, known := s[r.property]
		if r.property == "ProcSubset" && !known {
			continue // systemd before 247
		}
		good := slices.Contains(r.good, value) || len(r.good) == 0 && !slices.Contains(r.bad, value)
		if good || kept && (slices.Contains(r.keeper, value) || !known) {
			continue
		}
		all = append(all, Finding{"systemd", r.verdict, u.Name + " has " + r.property + "=" + value + ": " + r.why, edit + r.setting})
	}
	// "~" before the list makes it one of those that are denied.
	families := s["RestrictAddressFamilies"]
	listed, denied := strings.CutPrefix(families, "~")
	if families != "" && slices.Contains(strings.Fields(listed), "AF_UNIX") == denied {
		all = append(all, Finding{"systemd", Fail, u.Name + " has RestrictAddressFamilies= without AF_UNIX: that cuts the link between generations", edit + "RestrictAddressFamilies=AF_UNIX"})
	}
	return all
}

// unitOf is the service unit of a control group, if it is one's.
func unitOf(group string) (Unit, bool) {
	elements := strings.Split(path.Clean(group), "/")
	user := false
	for i, e := range elements {
		if strings.HasPrefix(e, "user@") && i < len(elements)-1 {
			user = true
			continue
		}
		if strings.HasSuffix(e, ".service") {
			return Unit{e, user}, true
		}
	}
	return Unit{}, false
}
