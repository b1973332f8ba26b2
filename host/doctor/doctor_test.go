package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/handover-go/handover/internal/wire"
)

// good are files of a host on which everything is well: process 42 is the service, 50 this one.
var good = map[string]string{
	"proc/sys/kernel/osrelease":            "6.18.5-amd64\n",
	"proc/sys/net/core/somaxconn":          "4096\n",
	"proc/sys/net/core/rmem_max":           "212992\n",
	"proc/sys/net/ipv4/tcp_migrate_req":    "0\n",
	"proc/meminfo":                         "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n",
	"proc/self/status":                     "Name:\thandover\nSeccomp:\t0\n",
	"proc/1/comm":                          "systemd\n",
	"proc/1/stat":                          "1 (systemd) S 0 1 1\n",
	"proc/1/status":                        "Uid:\t0\t0\t0\t0\nThreads:\t1\n",
	"proc/42/comm":                         "shop\n",
	"proc/42/stat":                         "42 (my (odd) shop) S 1 42 42\n",
	"proc/42/status":                       "Name:\tshop\nUid:\t1000\t1000\t1000\t1000\nVmRSS:\t  200000 kB\nThreads:\t20\n",
	"proc/42/limits":                       limits("65536", "30000"),
	"proc/42/fd/0":                         "",
	"proc/42/cgroup":                       "0::/system.slice/shop.service\n",
	"proc/50/limits":                       limits("65536", "30000"),
	"proc/50/status":                       "Uid:\t1000\t1000\t1000\t1000\nThreads:\t5\n",
	"proc/50/cgroup":                       "0::/user.slice/user-1000.slice/session-1.scope\n",
	"sys/fs/cgroup/system.slice/pids.max":  "max\n",
	shopGroup + "pids.max":                 "4915\n",
	shopGroup + "pids.current":             "20\n",
	shopGroup + "memory.max":               "max\n",
	"sys/fs/cgroup/system.slice/something": "",
}

const shopGroup = "sys/fs/cgroup/system.slice/shop.service/"

func limits(files, processes string) string {
	return "Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max processes             " + processes + "                30000                processes \n" +
		"Max open files            " + files + "                524288               files     \n"
}

// aloneSettings are those of deploy/systemd/handover-alone.service, as systemd tells them.
var aloneSettings = Settings{
	"Type": "notify", "NotifyAccess": "all", "ExitType": "cgroup", "KillMode": "control-group", "Restart": "always",
	"WatchdogUSec": "10s", "OOMPolicy": "continue", "ProcSubset": "all", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
}

// host is one on which everything is well, with one service, and with files in the place of those of good; "-" removes one.
func host(t *testing.T, files map[string]string) *Host {
	t.Helper()
	base := t.TempDir()
	h := &Host{
		Root: filepath.Join(base, "root"), UID: os.Geteuid(), PID: 50, TempDir: "/nowhere", RuntimeDir: filepath.Join(base, "run"), StateDir: filepath.Join(base, "state", "handover"),
		Supported: func() error { return nil },
		NoExec:    func(string) (bool, error) { return false, nil },
		Unit:      func(context.Context, Unit) Settings { return aloneSettings },
		Services: []Service{{Name: "shop", Status: &wire.ServiceStatus{
			Service: "shop", State: "serving", Generation: 3, PID: 42, Listeners: []wire.Listener{{Network: "tcp", Address: ":8080"}},
		}}},
	}
	if err := os.Mkdir(h.RuntimeDir, 0o700); err != nil {
		t.Fatal(err)
	}
	all := maps.Clone(good)
	maps.Copy(all, files)
	for path, content := range all {
		if content == "-" {
			continue
		}
		path = filepath.Join(h.Root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// bad returns what is not well.
func bad(all []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f Finding) bool { return f.Verdict == OK })
}

func TestHostOnWhichAllIsWell(t *testing.T) {
	h := host(t, nil)
	all := h.Examine(t.Context())
	if b := bad(all); len(b) > 0 || Worst(all) != OK {
		t.Errorf("%+v", b)
	}
	if len(all) < len(checks) {
		t.Errorf("%d findings of %d checks: each says what it found", len(all), len(checks))
	}
	if entries, err := os.ReadDir(h.RuntimeDir); err != nil || len(entries) > 0 {
		t.Errorf("left behind in the runtime directory: %v, %v", entries, err)
	}
	if exists(filepath.Dir(h.StateDir)) {
		t.Error("the state directory was made")
	}
}

func TestEachFaultIsFoundAndMended(t *testing.T) {
	type change struct {
		files map[string]string
		do    func(*Host)
	}
	file := func(path, content string) change { return change{files: map[string]string{path: content}} }
	host := func(do func(*Host)) change { return change{do: do} }
	unit := func(property, value string) change {
		return host(func(h *Host) {
			s := maps.Clone(aloneSettings)
			s[property] = value
			h.Unit = func(context.Context, Unit) Settings { return s }
		})
	}
	for name, c := range map[string]struct {
		change
		check   string
		verdict Verdict
		says    string // a part of the detail
		mend    string // a part of the remedy
	}{
		"old kernel":           {file("proc/sys/kernel/osrelease", "5.2.9\n"), "kernel", Fail, "no pidfd_open", "5.3"},
		"no version":           {file("proc/sys/kernel/osrelease", "-"), "kernel", Warn, "cannot be read", "mount /proc"},
		"seccomp":              {change{map[string]string{"proc/self/status": "Seccomp:\t2\n", ".dockerenv": ""}, func(h *Host) { h.Supported = func() error { return errors.New("pidfd_open: operation not permitted") } }}, "pidfd", Fail, "in a container, under a seccomp filter", "seccomp"},
		"service is process 1": {host(func(h *Host) { h.Services[0].Status.PID = 1 }), "pid 1", Fail, "process 1", "handover run --"},
		"zombies":              {file("proc/77/stat", "77 (x) Z 1 77 77\n"), "pid 1", Warn, "(systemd) leaves 1 dead", "docker run --init"},
		"mode":                 {host(func(h *Host) { _ = os.Chmod(h.RuntimeDir, 0o755) }), "runtime dir", Fail, "0755", "chmod 700 "},
		"no directory":         {host(func(h *Host) { _ = os.Remove(h.RuntimeDir); _ = os.WriteFile(h.RuntimeDir, nil, 0o600) }), "runtime dir", Fail, "no directory", "remove it"},
		"cannot be made":       {host(func(h *Host) { h.RuntimeDir = "/proc/none/handover" }), "runtime dir", Fail, "cannot be made", "RuntimeDirectory="},
		"long path":            {host(func(h *Host) { h.RuntimeDir = "/run/" + strings.Repeat("d", 100) }), "runtime dir", Fail, "too long", "shorter"},
		"rather long path":     {host(func(h *Host) { h.RuntimeDir = "/tmp/" + strings.Repeat("d", 86) }), "runtime dir", Warn, "leaves 10 bytes", "shorter"},
		"temporary":            {host(func(h *Host) { h.TempDir = filepath.Dir(h.RuntimeDir) }), "runtime dir", Warn, "temporary files", "%t"},
		"another user's":       {host(func(h *Host) { h.RuntimeDir, h.UID = "/", 4711 }), "runtime dir", Fail, "belongs to user", "as root"},
		"stale socket": {host(func(h *Host) {
			h.Services = append(h.Services, Service{Name: "cart", Path: h.RuntimeDir, Absent: true})
		}), "services", Warn, `"cart" has a socket`, "rm "},
		"no socket":          {host(func(h *Host) { h.Services = []Service{{Name: "cart", Path: "/none", Absent: true}} }), "services", Fail, `"cart" has no socket`, "HANDOVER_NAME=cart"},
		"hung service":       {host(func(h *Host) { h.Services = []Service{{Name: "cart", Err: errors.New("too late")}} }), "services", Fail, "too late", "log"},
		"state dir":          {host(func(h *Host) { h.StateDir = "/proc/none" }), "state dir", Warn, "as open files", "StateDirectory="},
		"noexec":             {host(func(h *Host) { h.NoExec = func(string) (bool, error) { return true, nil } }), "state dir", Warn, "noexec", "another file system"},
		"few descriptors":    {file("proc/42/limits", limits("64", "30000")), "open files", Fail, `"shop" (pid 42) may have 64`, "LimitNOFILE="},
		"some descriptors":   {file("proc/42/limits", limits("1024", "30000")), "open files", Warn, "may have 1024", "LimitNOFILE="},
		"descriptors used":   {change{files: used(900, limits("1100", "30000"))}, "open files", Warn, "has 90", "LimitNOFILE="},
		"limits hidden":      {file("proc/42/limits", "-"), "open files", Warn, "cannot be read", "as root"},
		"few processes":      {file("proc/42/limits", limits("65536", "40")), "processes", Fail, "may have 40 threads, and has 25", "LimitNPROC="},
		"few tasks":          {file(shopGroup+"pids.max", "30\n"), "tasks", Fail, "may have 30 tasks, and has 20", "TasksMax="},
		"no memory":          {file("proc/meminfo", "MemAvailable: 100000 kB\n"), "memory", Warn, "this machine has room for 98 MiB", "MemoryMax="},
		"no memory in group": {change{files: map[string]string{shopGroup + "memory.max": "300000000\n", shopGroup + "memory.current": "250000000\n", shopGroup + "memory.stat": "anon 1\ninactive_file 50000000\n"}}, "memory", Warn, "its control group has room for 95 MiB", "MemoryMax="},
		"short backlog":      {file("proc/sys/net/core/somaxconn", "128\n"), "somaxconn", Warn, "128", "sysctl -w net.core.somaxconn="},
		"hidden backlog":     {file("proc/sys/net/core/somaxconn", "-"), "somaxconn", Warn, "backlog of 128", "ProcSubset="},
		"reuseport": {host(func(h *Host) {
			h.Services[0].Status.Listeners = []wire.Listener{{Network: "tcp", Address: ":80", Ordinal: 1}}
		}), "reuseport", Warn, "several listeners at tcp :80", "tcp_migrate_req=1"},
		"datagrams": {host(func(h *Host) {
			h.Services[0].Status.Listeners = []wire.Listener{{Network: "udp", Address: ":53", Packet: true}}
		}), "rmem_max", Warn, "212992 bytes", "rmem_max="},
		"unit type":           {unit("Type", "simple"), "systemd", Fail, "Type=simple", "Type=notify"},
		"notify access":       {unit("NotifyAccess", "main"), "systemd", Fail, "NotifyAccess=main", "systemctl edit shop.service, and there under [Service]: NotifyAccess=all"},
		"exit type":           {unit("ExitType", "main"), "systemd", Fail, "takes its successor along", "ExitType=cgroup"},
		"kill mode":           {unit("KillMode", "mixed"), "systemd", Warn, "KillMode=mixed", "KillMode=control-group"},
		"restart":             {unit("Restart", "no"), "systemd", Warn, "Restart=no", "Restart=always"},
		"watchdog":            {unit("WatchdogUSec", "0"), "systemd", Warn, "WatchdogUSec=0", "WatchdogSec=10"},
		"oom":                 {unit("OOMPolicy", "stop"), "systemd", Warn, "OOMPolicy=stop", "OOMPolicy=continue"},
		"proc subset":         {unit("ProcSubset", "pid"), "systemd", Warn, "ProcSubset=pid", "ProcSubset=all"},
		"no unix sockets":     {unit("RestrictAddressFamilies", "AF_INET AF_INET6"), "systemd", Fail, "AF_UNIX", "RestrictAddressFamilies=AF_UNIX"},
		"unix sockets denied": {unit("RestrictAddressFamilies", "~AF_UNIX AF_NETLINK"), "systemd", Fail, "AF_UNIX", "RestrictAddressFamilies=AF_UNIX"},
		"no systemctl":        {host(func(h *Host) { h.Unit = func(context.Context, Unit) Settings { return nil } }), "systemd", Warn, "cannot be asked for shop.service", "as root"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hostWith(t, c.files, c.do)
			all := h.Examine(t.Context())
			i := slices.IndexFunc(all, func(f Finding) bool {
				return f.Check == c.check && f.Verdict == c.verdict && strings.Contains(f.Detail, c.says) && strings.Contains(f.Mend, c.mend)
			})
			if i < 0 {
				t.Errorf("not found in %+v", bad(all))
			}
			if Worst(all) == OK {
				t.Error("the worst verdict is ok")
			}
		})
	}
}

func hostWith(t *testing.T, files map[string]string, do func(*Host)) *Host {
	h := host(t, files)
	if do != nil {
		do(h)
	}
	return h
}

// used gives the service n descriptors.
func used(n int, limits string) map[string]string {
	files := map[string]string{"proc/42/limits": limits}
	for i := range n {
		files["proc/42/fd/"+strconv.Itoa(i)] = ""
	}
	return files
}

func TestWhatDoesNotMatterIsNotFound(t *testing.T) {
	for name, change := range map[string]func(*Host){
		"no service":             func(h *Host) { h.Services = nil },
		"directory still absent": func(h *Host) { _ = os.Remove(h.RuntimeDir) },
		"keeper's own unit": func(h *Host) {
			h.Services[0].Status.Keeper = &wire.Keeping{}
			h.Unit = func(context.Context, Unit) Settings {
				return Settings{"Type": "notify", "NotifyAccess": "main", "ExitType": "main", "KillMode": "process", "Restart": "on-failure", "WatchdogUSec": "10s", "OOMPolicy": "continue"}
			}
		},
		"notify-reload": func(h *Host) {
			h.Unit = func(context.Context, Unit) Settings {
				s := maps.Clone(aloneSettings)
				s["Type"] = "notify-reload"
				return s
			}
		},
		"families not limited": func(h *Host) {
			h.Unit = func(context.Context, Unit) Settings {
				s := maps.Clone(aloneSettings)
				s["RestrictAddressFamilies"] = ""
				return s
			}
		},
		"other families denied": func(h *Host) {
			h.Unit = func(context.Context, Unit) Settings {
				s := maps.Clone(aloneSettings)
				s["RestrictAddressFamilies"] = "~AF_NETLINK"
				return s
			}
		},
	} {
		if b := bad(hostWith(t, nil, change).Examine(t.Context())); len(b) > 0 {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestUnitIsThatOfTheControlGroup(t *testing.T) {
	for group, want := range map[string]Unit{
		"/system.slice/shop.service":                                                   {"shop.service", false},
		"/system.slice/system-shop.slice/shop@1.service/workers":                       {"shop@1.service", false},
		"/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service":         {"shop.service", true},
		"/user.slice/user-1000.slice/session-1.scope":                                  {},
		"/user.slice/user-1000.slice/user@1000.service/app.slice/app-terminal-1.scope": {},
		"/": {},
		"":  {},
	} {
		if got, ok := unitOf(group); got != want || ok != (want != Unit{}) {
			t.Errorf("%s: %+v, %t", group, got, ok)
		}
	}
}

// What is recommended is what the units set that are known to work, or their default.
func TestRulesAreThoseOfTheDeployedUnits(t *testing.T) {
	for name, rules := range map[string][]rule{"alone": alone, "keeper": kept} {
		unit, err := os.ReadFile("../../deploy/systemd/handover-" + name + ".service")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if r.setting == "KillMode=control-group" || r.setting == "ProcSubset=all" {
				continue // defaults, which the units leave
			}
			if !strings.Contains(string(unit), "\n"+r.setting+"\n") {
				t.Errorf("%s is not in the unit %s", r.setting, name)
			}
		}
	}
}

func TestKeepersUnitIsJudgedByItsOwnRules(t *testing.T) {
	h := host(t, nil)
	h.Services[0].Status.Keeper = &wire.Keeping{}
	b := bad(h.Examine(t.Context())) // in the unit of a service alone
	if len(b) != 1 || !strings.Contains(b[0].Mend, "KillMode=process") {
		t.Errorf("%+v", b)
	}
}

func TestFindingsKeepTheirKeysInJSON(t *testing.T) {
	p, err := json.Marshal(Finding{"memory", Warn, "small", "more"})
	if err != nil || string(p) != `{"check":"memory","verdict":"warn","detail":"small","mend":"more"}` {
		t.Errorf("%s, %v", p, err)
	}
}
