package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/release"
)

// ours are the fields of Config that the supervisor itself obeys, and where.
var ours = map[string]string{
	"Account": "keepers.start", "Cgroup": "keepers.start", "Output": "watchOutput", "Releases": "upgrade.stage", "Trust": "fetch", "Source": "upgrade.stage",
	"Keep": "prune", "Checks": "watchHealth", "Policy": "newTrial", "Bake": "bake", "CheckVersion": "newTrial", "Heartbeat": "observe", "Rates": "New",
	"Hook": "call", "Gate": "reach", "Logger": "New", "Keeper": "keepers.start",
}

// TestEveryFieldReachesTheKeeper sets each field, and looks for a difference in how a keeper is started, and, where it is of the next generation, in
// what a keeper is asked for.
func TestEveryFieldReachesTheKeeper(t *testing.T) {
	base := Config{Keeper: []string{"handover"}, Name: "shop", Command: "/bin/true", RuntimeDir: "/run", StateDir: "/state", OutputDir: "/log", Health: Health{Path: "/healthz"}}
	started := func(c Config) string {
		command, dir := c.program(release.Release{})
		return fmt.Sprintf("%q %q %q", (&keepers{&c}).arguments(command), c.environment(), dir)
	}
	asked := func(c Config) string { return fmt.Sprintf("%+v", *c.start()) }
	keepers := []string{"Name", "Command", "Listen", "Strategy", "StopSignal", "Health", "RuntimeDir", "StateDir", "OutputDir", "Journald"}
	var try func(at []int, in reflect.Type, under string)
	try = func(at []int, in reflect.Type, under string) {
		for i := range in.NumField() {
			f, path := in.Field(i), append(slices.Clone(at), i)
			name := strings.TrimPrefix(under+"."+f.Name, ".")
			if ours[name] != "" {
				continue
			}
			if f.Type.Kind() == reflect.Struct {
				try(path, f.Type, name)
				continue
			}
			c := base
			switch v := reflect.ValueOf(&c).Elem().FieldByIndex(path); v.Kind() {
			case reflect.String:
				v.SetString(v.String() + "other")
			case reflect.Bool:
				v.SetBool(true)
			case reflect.Int, reflect.Int64:
				v.SetInt(int64(7 * time.Second))
			case reflect.Slice:
				v.Set(reflect.ValueOf([]string{"OTHER=1"}))
			default:
				t.Fatalf("%s: how is a %s changed?", name, v.Kind())
			}
			if started(c) == started(base) {
				t.Errorf("%s: nothing of it reaches a keeper that is started", name)
			}
			if first, _, _ := strings.Cut(name, "."); !slices.Contains(keepers, first) && asked(c) == asked(base) {
				t.Errorf("%s: nothing of it reaches a keeper that is asked for an upgrade", name)
			}
		}
	}
	try(nil, reflect.TypeFor[Config](), "")
}

// TestKeeperIsNotStartedOutsideOfItsCgroup: a directory that is no control group of the second hierarchy is refused, and left as it was.
func TestKeeperIsNotStartedOutsideOfItsCgroup(t *testing.T) {
	dir := t.TempDir()
	c := Config{
		Name: "shop", Command: "/bin/true", Keeper: []string{"/bin/true"}, Cgroup: filepath.Join(dir, "shop.slice", "shop"),
		RuntimeDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), OutputDir: filepath.Join(dir, "log"),
	}
	_, _, err := (&keepers{&c}).start(release.Release{})
	if err == nil || !strings.Contains(err.Error(), c.Cgroup+" is no control group of the second hierarchy (cgroup2)") {
		t.Errorf("a keeper is started: %v", err)
	}
	if _, err := os.Lstat(filepath.Dir(c.Cgroup)); err == nil {
		t.Error("a directory was made that is no control group")
	}
}

// TestKeeperIsStartedAsItIsAskedForAnUpgrade: else every service would seem to be configured anew from its start on.
func TestKeeperIsStartedAsItIsAskedForAnUpgrade(t *testing.T) {
	c := Config{
		Keeper: []string{"handover"}, Name: "shop", Command: "/bin/true", Args: []string{"-v"}, Env: []string{"PORT=1"}, ReadyTimeout: time.Minute, FreezeTimeout: 5 * time.Second, Probation: time.Second,
		DrainTimeout: time.Hour, StopTimeout: 90 * time.Second, MaxDraining: 8, Limits: []string{"nofile=1024:4096"},
	}
	line, start := (&keepers{&c}).arguments("/bin/true"), c.start()
	env := c.environment()
	for _, p := range c.passed() {
		i := slices.Index(line, "--"+p.flag)
		if i < 0 || line[i+1] != p.value {
			t.Errorf("%s is not %s in %q", p.flag, p.value, line)
		}
		env = append(env, p.variable+"="+p.value)
	}
	if len(c.passed()) != 6 || !slices.Equal(start.Env, env) || !slices.Equal(start.Args, c.Args) || !slices.Equal(start.Limits, c.Limits) {
		t.Errorf("started %q in %q, and anew %+v", line, env, *start)
	}
	c.Strategy = nginxStrategy
	if c.start() != nil {
		t.Error("nginx is told how its next master is to be started, which it starts itself")
	}
}

// TestReleaseIsAskedForByItsDirectory, wherever it runs, and started as it was if it is returned to.
func TestReleaseIsAskedForByItsDirectory(t *testing.T) {
	s, one, _ := released(t)
	s.config = Config{Name: "shop", Command: "shop", Args: []string{"-v"}, Directory: "/srv", Releases: s.releases}
	u := s.newUpgrade(journal.Upgrade{Service: "shop", Number: 7, Kind: "upgrade"}, one)
	for _, c := range []struct {
		returning bool
		label     string
	}{{false, "shop/7"}, {true, "shop/7/returned"}} {
		q := u.request(one, "", c.returning)
		if q.Binary != one.Dir+"/shop" || q.Dir != one.Dir || q.Label != c.label || q.Start.Dir != "/srv" || q.Start.Kept != c.returning || len(q.Start.Args) != 1 {
			t.Errorf("returning %t: %+v", c.returning, q)
		}
	}
	without := s.newUpgrade(journal.Upgrade{Service: "shop", Number: 8, Kind: "upgrade"}, release.Release{})
	if q := without.request(release.Release{}, "", true); !q.Rollback || q.Start != nil || q.Binary != "" {
		t.Errorf("the build before is asked for as %+v", q)
	}
	if q := without.request(release.Release{}, "", false); q.Binary != "shop" || q.Start == nil || q.Start.Kept {
		t.Errorf("the service's command is asked for as %+v", q)
	}
}

// TestKeeperLogsToNothingThatTheServicesUserHasPutThere: the directory is the service's user's, and who opens the log may be root.
func TestKeeperLogsToNothingThatTheServicesUserHasPutThere(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(log string) error{
		"link":         func(log string) error { return os.Symlink(outside, log) },
		"dangling":     func(log string) error { return os.Symlink(outside+".new", log) },
		"second name":  func(log string) error { return os.Link(outside, log) },
		"unread pipe":  func(log string) error { return syscall.Mkfifo(log, 0o600) },
		"its own file": func(log string) error { return os.WriteFile(log, nil, 0o600) },
		"nothing":      func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := Config{
				Name: "shop", Command: "/bin/true", Keeper: []string{"/bin/true"},
				RuntimeDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), OutputDir: filepath.Join(dir, "log"),
			}
			if err := errors.Join(os.Mkdir(c.OutputDir, 0o700), put(filepath.Join(c.OutputDir, "keeper.log"))); err != nil {
				t.Fatal(err)
			}
			_, ended, err := (&keepers{&c}).start(release.Release{})
			if ended != nil {
				<-ended
			}
			if own := name == "its own file" || name == "nothing"; own != (err == nil) || !own && !errors.Is(err, ErrNoOutput) {
				t.Errorf("a keeper is started: %v", err)
			}
		})
	}
	if _, err := os.Lstat(outside + ".new"); err == nil {
		t.Error("a file was made where a link leads")
	}
}
