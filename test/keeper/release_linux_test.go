package keeper

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/executable"
)

// release is a build in a directory of its own.
type release struct{ dir, binary, digest string }

// released puts a build in a directory.
func released(t *testing.T, program string) release {
	t.Helper()
	content, err := os.ReadFile(program)
	must(t, err)
	dir := t.TempDir()
	r := release{dir: dir, binary: filepath.Join(dir, "service")}
	executable.Write(t, r.binary, content, 0o755)
	sum := sha256.Sum256(content)
	r.digest = hex.EncodeToString(sum[:])
	return r
}

// wish asks for the release.
func (r release) wish() *wire.Upgrade {
	return &wire.Upgrade{Binary: r.binary, Dir: r.dir, Digest: r.digest}
}

// assertIn checks where the service runs, and what it was told of that; an empty directory is the keeper's own.
func (r *run) assertIn(dir string) {
	r.t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(r.PID()))
	environ, err := os.ReadFile(filepath.Join(proc, "environ"))
	must(r.t, err)
	told := ""
	for v := range strings.SplitSeq(string(environ), "\x00") {
		if value, ok := strings.CutPrefix(v, "HANDOVER_RELEASE="); ok {
			told = value
		}
	}
	want := dir
	if dir == "" {
		want, err = os.Readlink(filepath.Join("/proc", strconv.Itoa(r.keeper), "cwd"))
		must(r.t, err)
	}
	if cwd, err := os.Readlink(filepath.Join(proc, "cwd")); err != nil || cwd != want || told != dir {
		r.t.Fatalf("process %d runs in %q, %v, and was told %q; want %q", r.PID(), cwd, err, told, want)
	}
}

// TestReleaseServesInItsDirectoryWhateverStartsIt upgrades to builds in directories: after a death, a rollback and under a replaced keeper
// or another one, each is where it was asked for.
func TestReleaseServesInItsDirectoryWhateverStartsIt(t *testing.T) {
	t.Parallel()
	one, two := released(t, version(t, "one")), released(t, version(t, "two"))
	r := start(t, kept{flags: []string{"-steady", "1ms"}}).drive()
	r.assertIn("")
	r.asks(one.wish())
	r.assertIn(one.dir)
	r.restarts("one")
	r.assertIn(one.dir)

	if reply := r.ask(&wire.Upgrade{Keeper: true}); reply.Outcome != "final" {
		t.Fatalf("replace the keeper: %+v", reply)
	}
	r.restarts("one")
	r.assertIn(one.dir)

	r.asks(two.wish())
	r.assertIn(two.dir)
	r.rollback("one")
	r.assertIn(one.dir)
	r.rollback("two")
	r.assertIn(two.dir)

	r.asks(&wire.Upgrade{Dir: one.dir}) // the command of the keeper, as a script that is released beside it
	r.assertIn(one.dir)
	r.asks(&wire.Upgrade{Dir: two.dir})
	r.assertIn(two.dir)
	r.rollback("v1")
	r.assertIn(one.dir)

	gone := r.Watch(func(line string) bool { return strings.Contains(line, alone) })
	keeper := r.keeper
	r.Kill(keeper)
	r.Line(gone)
	r.another("-steady", "1ms")
	r.settled()
	r.restarts("v1")
	r.assertIn(one.dir)
	r.finishAfterCrash()
}

// asks asks for a handover that must be final.
func (r *run) asks(wish *wire.Upgrade) *wire.Reply {
	r.t.Helper()
	reply := r.ask(wish)
	if reply.Outcome != "final" || reply.Error != "" {
		r.t.Fatalf("%+v: %+v, want it final\n%s", wish, reply, r.Output(60))
	}
	return reply
}

// TestReleaseThatServesIsNotHandedOverToItself asks for the same build again: only that in another directory is a handover. A build that is
// not the one asked for is refused, and so is a directory that is not there.
func TestReleaseThatServesIsNotHandedOverToItself(t *testing.T) {
	t.Parallel()
	one := released(t, version(t, "one"))
	r := start(t, kept{})
	first := r.asks(one.wish())
	if again := r.asks(one.wish()); again.PID != first.PID || again.Attempt != first.Attempt || again.Generation != first.Generation {
		t.Errorf("%+v, want no handover after %+v", again, first)
	}
	must(t, os.Remove(one.binary))
	r.asks(one.wish()) // what lies on disk is nothing to what serves
	refused := func(wish wire.Upgrade, why string) {
		t.Helper()
		if reply := r.ask(&wish); reply.Code != wire.CodeVerification || !strings.Contains(reply.Error, why) || r.PID() != first.PID {
			t.Errorf("%+v: %+v, want it refused: %s", wish, reply, why)
		}
	}
	refused(wire.Upgrade{Binary: r.program, Dir: one.dir, Digest: strings.Repeat("0", 64)}, "was asked for")
	refused(wire.Upgrade{Rollback: true, Digest: strings.Repeat("0", 64)}, "the build before is")
	refused(wire.Upgrade{Dir: filepath.Join(one.dir, "missing")}, "no such file")
	refused(wire.Upgrade{Dir: r.program}, "is a file")
	refused(wire.Upgrade{Dir: "here"}, "absolute")

	other := t.TempDir()
	content, err := os.ReadFile(version(t, "one"))
	must(t, err)
	executable.Write(t, filepath.Join(other, "service"), content, 0o755)
	if again := r.asks(&wire.Upgrade{Binary: filepath.Join(other, "service"), Dir: other, Digest: one.digest}); again.PID == first.PID {
		t.Errorf("%+v, want a handover to the other directory", again)
	}
	must(t, os.RemoveAll(one.dir))
	if reply := r.ask(&wire.Upgrade{Rollback: true}); reply.Code != wire.CodeVerification {
		t.Errorf("rollback to a directory that is gone: %+v", reply)
	}
	r.assertIn(other)
}

// TestStatusNamesEveryGenerationThatLives asks while a handover is held, and afterwards.
func TestStatusNamesEveryGenerationThatLives(t *testing.T) {
	t.Parallel()
	one := released(t, version(t, "one"))
	r := start(t, kept{})
	wish := one.wish()
	wish.Watch = true
	v := r.asksTo(wish)
	v.says(wire.VoteHold, "")
	v.reaches("probation")
	r.Eventually("both generations", func() (any, bool) {
		all := r.ask(status).Status.Keeper.Generations
		return all, len(all) == 2 && all[0].Generation == 1 && all[0].State == "probation" && all[0].Digest != one.digest && all[0].Dir != one.dir &&
			all[1].Generation == 2 && all[1].State == "proving" && all[1].Digest == one.digest && all[1].Dir == one.dir && all[1].StartedMs > all[0].StartedMs
	})
	v.says(wire.VotePass, "")
	v.ends("final")
	r.assertAlone()
	want := wire.Attempt{Number: 1, Outcome: "final", Generation: 2}
	r.Eventually("the last handover, and who is left", func() (any, bool) {
		k := r.ask(status).Status.Keeper
		return k, len(k.Generations) == 1 && k.Generations[0].PID == r.PID() && k.Generations[0].State == "serving" &&
			k.Attempt != nil && *k.Attempt == want
	})
}
