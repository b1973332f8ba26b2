package keeper

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/keeper/builds"
)

// kept is a keeper of a build that serves in the keeper's own manner, after one that served in another.
func kept(t *testing.T) (k *Keeper, previous, running stock) {
	t.Helper()
	t.Setenv("PATH", "/bin")
	t.Setenv("HANDOVER_PROBATION", "90s")
	of := func(digest, label string, m *manner) stock {
		return stock{Build: builds.Build{Digest: strings.Repeat(digest, 64)}, label: label, manner: m}
	}
	k = &Keeper{config: Config{Args: []string{"-v"}, Env: []string{"PORT=1"}, Dir: "/srv"}, shelf: &shelf{}}
	k.shelf.previous, k.shelf.running = of("0", "shop/1", &manner{Args: []string{"-q"}, Dir: "/old"}), of("1", "shop/2", nil)
	return k, k.shelf.previous, k.shelf.running
}

// asItIs is how the build of kept that serves was started, in the words of a client.
func asItIs(t *testing.T, k *Keeper) *wire.Start {
	t.Helper()
	return &wire.Start{Args: []string{"-v"}, Env: k.given(stock{}), Limits: nil}
}

func TestWhatDiffersIsNamedWithoutItsValue(t *testing.T) {
	k, _, running := kept(t)
	for _, c := range []struct {
		what   string
		change func(*wire.Start)
		want   []string
	}{
		{"nothing", func(*wire.Start) {}, []string{}},
		{"what a keeper has for itself", func(s *wire.Start) { s.Env = append(s.Env, "LISTEN_FDS=1", "HANDOVER_RELEASE=/srv") }, []string{}},
		{"a duration in other words", func(s *wire.Start) { s.Env = append(s.Env, "HANDOVER_PROBATION=1m30s") }, []string{}},
		{"arguments", func(s *wire.Start) { s.Args = nil }, []string{"args"}},
		{"the directory", func(s *wire.Start) { s.Dir = "/tmp" }, []string{"dir"}},
		{"the keeper's own directory", func(s *wire.Start) { s.Dir = "/srv" }, []string{}},
		{"another variable", func(s *wire.Start) { s.Env = append(s.Env, "TOKEN=secret", "PORT=2") }, []string{"env PORT", "env TOKEN"}},
		{"no variables", func(s *wire.Start) { s.Env = []string{"PORT=1", "HANDOVER_PROBATION=90s"} }, nil},
	} {
		s := asItIs(t, k)
		c.change(s)
		m, err := mannerOf(s)
		if err != nil {
			t.Fatal(err)
		}
		got := k.differs(running, m)
		if c.want == nil && slices.Contains(got, "env PATH") || c.want != nil && slices.Equal(got, c.want) {
			continue
		}
		t.Errorf("%s: %q, want %q", c.what, got, c.want)
	}
}

func TestBuildIsStartedInTheMannerThatItGoesWith(t *testing.T) {
	k, previous, running := kept(t)
	other := &wire.Start{Args: []string{"-other"}, Kept: true}
	for _, c := range []struct {
		what string
		of   stock
		wish wire.Upgrade
		want []string
	}{
		{"nobody says how", stock{}, wire.Upgrade{}, []string{"-v"}},
		{"it is said how", stock{}, wire.Upgrade{Start: &wire.Start{Args: []string{"-other"}}}, []string{"-other"}},
		{"it is said how for a build that is kept", previous, wire.Upgrade{Start: &wire.Start{Args: []string{"-other"}}}, []string{"-other"}},
		{"a build that is kept is returned to", previous, wire.Upgrade{Start: other}, []string{"-q"}},
		{"a build that is not kept is returned to", stock{}, wire.Upgrade{Start: other}, []string{"-other"}},
		{"a build that is kept, but in another directory", stock{Build: previous.Build, dir: "/srv/2"}, wire.Upgrade{Start: other}, []string{"-q"}},
	} {
		s := stock{Build: c.of.Build, dir: c.of.dir}
		got := k.arrange(s, k.wanted(c.wish))
		if !slices.Equal(k.arguments(got), c.want) {
			t.Errorf("%s: %q, want %q", c.what, k.arguments(got), c.want)
		}
	}
	if s := k.arrange(stock{Build: running.Build}, k.wanted(wire.Upgrade{Start: asItIs(t, k)})); !s.is(running) {
		t.Error("the same build in the same manner is taken for another")
	}
	back := k.before(wire.Upgrade{Rollback: true, Label: "shop/3"})
	if !slices.Equal(k.arguments(back), []string{"-q"}) || k.place(back) != "/old" || back.label != "shop/3" {
		t.Errorf("a rollback starts with %q in %s, labelled %s", k.arguments(back), k.place(back), back.label)
	}
}

// TestReturnThatIsAskedForTwiceGoesBackOnce, where both builds are the same but for their manners.
func TestReturnThatIsAskedForTwiceGoesBackOnce(t *testing.T) {
	k, _, running := kept(t)
	k.shelf.previous = stock{Build: running.Build, manner: &manner{Args: []string{"-before"}}}
	wish := wire.Upgrade{Label: "shop/2/returned", Start: &wire.Start{Args: []string{"-v"}, Kept: true}}
	for range 2 {
		s := k.arrange(stock{Build: running.Build}, k.wanted(wish))
		if !slices.Equal(k.arguments(s), []string{"-before"}) {
			t.Fatalf("it is started with %q", k.arguments(s))
		}
		k.shelf.serves(s)
	}
}

func TestMannerOutlivesTheKeepersProgram(t *testing.T) {
	k, previous, _ := kept(t)
	b, err := json.Marshal(k.shelf.previous.save(&saved{}))
	var read savedStock
	if err == nil {
		err = json.Unmarshal(b, &read)
	}
	if err != nil || read.Label != previous.label || !reflect.DeepEqual(read.Manner, previous.manner) {
		t.Errorf("%s: %+v, %v", b, read, err)
	}
}

func TestStartThatMeansNothingIsRefusedWithoutItsValue(t *testing.T) {
	for _, s := range []wire.Start{{Env: []string{"PORT=1", "secret"}}, {Env: []string{"=secret"}}, {Dir: "here"}, {Limits: []string{"nofile"}}, {Limits: []string{"nofile=1:2"}}} {
		before := becomes.Load()
		becomes.Store(false)
		_, err := mannerOf(&s)
		becomes.Store(before)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestServiceIsKilledOnlyAfterTheTimeThatItTakesByItself(t *testing.T) {
	t.Setenv("HANDOVER_STOP_TIMEOUT", "")
	build := func(stop string) *generation {
		return &generation{build: stock{manner: &manner{Env: []string{"HANDOVER_STOP_TIMEOUT=" + stop}}}}
	}
	for _, c := range []struct {
		config      Config
		generations []*generation
		want        time.Duration
	}{
		{Config{}, nil, 90 * time.Second},
		{Config{Env: []string{"HANDOVER_STOP_TIMEOUT=1s"}}, []*generation{{}}, 90 * time.Second},
		{Config{Env: []string{"HANDOVER_STOP_TIMEOUT=5m"}}, []*generation{{}}, 5*time.Minute + 10*time.Second},
		{Config{Env: []string{"HANDOVER_STOP_TIMEOUT=5m"}}, []*generation{build("10m"), build("1m")}, 10*time.Minute + 10*time.Second},
		{Config{Listen: []string{":1"}}, []*generation{{}}, 90 * time.Second},
		{Config{Listen: []string{":1"}, Env: []string{"HANDOVER_STOP_TIMEOUT=1s"}}, []*generation{{}}, time.Second},
		{Config{StopTimeout: 7 * time.Second, Env: []string{"HANDOVER_STOP_TIMEOUT=5m"}}, []*generation{{}}, 7 * time.Second},
	} {
		if got := (&Keeper{config: c.config, generations: c.generations}).stopTimeout(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.config, got, c.want)
		}
	}
}
