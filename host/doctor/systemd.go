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
	for _, r := range slices.Concat(alone, kept) {
		if !slices.Contains(all, r.property) {
			all = append(all, r.property)
		}
	}
	return all
}

// rule is what a unit should set, and why.
type rule struct {
	property string
	good     []string // empty: anything but bad
	bad      []string
	verdict  Verdict
	why      string
	setting  string // the best
}

var (
	off = []string{"", "0", "infinity"}

	oom        = rule{"OOMPolicy", []string{"continue"}, nil, Warn, "a successor that runs out of memory takes the incumbent along", "OOMPolicy=continue"}
	procSubset = rule{"ProcSubset", nil, []string{"pid"}, Warn, "net.core.somaxconn is hidden, so Go listens with a backlog of 128", "ProcSubset=all"}
)

const restart = "nobody starts the service again after a crash"

// alone are the rules of deploy/systemd/handover-alone.service, for a service without a keeper.
var alone = []rule{
	{"Type", []string{"notify", "notify-reload"}, nil, Fail, "systemd is not told which process is the main one, and takes the end of the first for the end of the service", "Type=notify"},
	{"NotifyAccess", []string{"all"}, nil, Fail, "systemd does not listen to the next generation, which reports for itself", "NotifyAccess=all"},
	{"ExitType", []string{"cgroup"}, nil, Fail, "an incumbent that is killed in probation takes its successor along (systemd before 250 has no such setting)", "ExitType=cgroup"},
	{"KillMode", []string{"control-group"}, nil, Warn, "generations that drain are killed, or left behind, when the service is stopped", "KillMode=control-group"},
	{"Restart", []string{"always"}, nil, Warn, restart, "Restart=always"},
	{"WatchdogUSec", nil, off, Warn, "while another generation drains, systemd does not notice that the one that serves has died", "WatchdogSec=10"},
	oom, procSubset,
}

// kept are those of deploy/systemd/handover-keeper.service, for a keeper and its service.
var kept = []rule{
	{"Type", []string{"notify", "notify-reload"}, nil, Warn, "systemd is not told when the service is ready", "Type=notify"},
	{"NotifyAccess", []string{"main", "all"}, nil, Warn, "systemd does not listen to the keeper", "NotifyAccess=main"},
	{"KillMode", []string{"process"}, nil, Warn, "generations are killed, or told to end a second time, with their keeper", "KillMode=process"},
	{"Restart", nil, []string{"", "no"}, Warn, restart, "Restart=on-failure"},
	{"WatchdogUSec", nil, off, Warn, "a keeper that hangs is not replaced", "WatchdogSec=10"},
	oom, procSubset,
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
		rules := alone
		if s.service != nil && s.service.Status.Keeper != nil {
			rules = kept
		}
		faults := settings.judge(unit, rules)
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
func (s Settings) judge(u Unit, rules []rule) []Finding {
	var all []Finding
	edit := "systemctl edit " + u.Name
	if u.User {
		edit = "systemctl --user edit " + u.Name
	}
	edit += ", and there under [Service]: "
	for _, r := range rules {
		value := s[r.property] // "" if this systemd does not know it
		if slices.Contains(r.good, value) || len(r.good) == 0 && !slices.Contains(r.bad, value) {
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
