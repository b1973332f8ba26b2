package observe_test

import (
	"os"
	"testing"

	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/observe"
)

func newSampler(t *testing.T) *observe.Sampler {
	t.Helper()
	s, err := observe.NewSampler()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t *testing.T, s *observe.Sampler, pids ...int) judge.Resources {
	t.Helper()
	r, err := s.Read(pids...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const atOnce = judge.KnownRSS | judge.KnownFDs | judge.KnownThreads

func TestGrowthOfAProcessIsSeen(t *testing.T) {
	c, s := startChild(t), newSampler(t)
	c.tell("spin", 1)
	before := read(t, s, c.pid())
	if before.Known != atOnce || before.RSS < 1<<20 || before.FDs < 3 || before.Threads < 1 {
		t.Fatalf("first reading: %+v", before)
	}
	c.tell("allocate", 64)
	c.tell("open", 20)
	c.tell("spin", 300)
	after := read(t, s, c.pid())
	if after.Known != atOnce|judge.KnownCPU {
		t.Errorf("second reading: %+v", after)
	}
	// The race detector keeps a shadow of all memory.
	if grown := int64(after.RSS) - int64(before.RSS); grown < 60<<20 || grown > 400<<20 {
		t.Errorf("64 MiB more are seen as %d bytes", grown)
	}
	if after.FDs != before.FDs+20 {
		t.Errorf("20 descriptors more: %d, before %d", after.FDs, before.FDs)
	}
	// On a machine that is busy with other things a spinning process gets less than a core.
	if after.CPU < 0.1 || after.CPU > 4 {
		t.Errorf("a process that spins uses %.2f cores", after.CPU)
	}
}

func TestProcessesOfABuildAreAddedUp(t *testing.T) {
	a, b, s := startChild(t), startChild(t), newSampler(t)
	a.tell("open", 10)
	b.tell("open", 30)
	one, two := read(t, s, a.pid()), read(t, s, b.pid())
	both := read(t, s, a.pid(), b.pid())
	if both.FDs != one.FDs+two.FDs || both.RSS < one.RSS || both.RSS < two.RSS {
		t.Errorf("%+v and %+v are %+v", one, two, both)
	}
	if both.Known&judge.KnownCPU != 0 {
		t.Error("CPU is known of a process that was not in the reading before")
	}
	if again := read(t, s, a.pid(), b.pid()); again.Known&judge.KnownCPU == 0 {
		t.Error("CPU is unknown at the second reading of both")
	}
	a.end()
	if rest := read(t, s, a.pid(), b.pid()); rest.FDs != two.FDs || rest.Known != atOnce|judge.KnownCPU {
		t.Errorf("one has ended, the other uses %+v, before %+v", rest, two)
	}
	b.end()
	if none := read(t, s, a.pid(), b.pid()); none != (judge.Resources{}) {
		t.Errorf("both have ended, and use %+v", none)
	}
}

func BenchmarkReadOneProcess(b *testing.B) {
	s, err := observe.NewSampler()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Read(os.Getpid()); err != nil {
			b.Fatal(err)
		}
	}
}
