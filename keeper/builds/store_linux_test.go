package builds

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/handover-go/handover/internal/platform"
)

func TestKeptBuildRunsAfterItsOriginWasOverwritten(t *testing.T) {
	s, path := newStore(t, Config{}), deploy(t)
	b, err := s.Put(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte("garbage"), 0o755))
	wantRuns(t, b)
	info, err := os.Stat(b.Path)
	must(t, err)
	if info.Mode() != 0o500 || info.Size() != b.Size || filepath.Base(b.Path) != "server" || b.Origin != path || b.Held() {
		t.Errorf("%v, %+v", info.Mode(), b)
	}
	if b.Go.Module != "github.com/handover-go/handover" || b.Privileged {
		t.Errorf("%+v", b)
	}
	must(t, b.Release())
}

func TestRunningBuildIsKeptAfterItsNameIsGone(t *testing.T) {
	path := deploy(t)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	must(t, os.Remove(path))
	b, err := newStore(t, Config{}).Put(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	must(t, err)
	if b.Origin != path {
		t.Errorf("origin %q, want %q", b.Origin, path)
	}
	wantRuns(t, b)
}

func TestSecondPutOfEqualContentKeepsTheFirst(t *testing.T) {
	s := newStore(t, Config{})
	first := put(t, s, "one")
	before, err := os.Stat(first.Path)
	must(t, err)
	other := file(t, "renamed", "one")
	second, err := s.Put(other)
	must(t, err)
	after, err := os.Stat(second.Path)
	must(t, err)
	if !os.SameFile(before, after) || second.Path != first.Path || second.Digest != first.Digest || second.Origin != other {
		t.Errorf("%+v\n%+v", first, second)
	}
	wantOnly(t, s, second)
	s.Close()
	again, err := reopen(t, s.dir, Config{}).Get(second.Digest)
	must(t, err)
	if again != second {
		t.Errorf("%+v\n%+v", again, second)
	}
}

func TestCorruptBuildIsToldAndRepairedByPuttingItAgain(t *testing.T) {
	s := newStore(t, Config{})
	b := put(t, s, "one")
	must(t, os.Chmod(b.Path, 0o700))
	must(t, os.WriteFile(b.Path, []byte("two"), 0o700))
	if err := s.Verify(b.Digest); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
	wantOnly(t, s, put(t, s, "one"))
}

func TestBoundsHoldAndWhatIsProtectedStays(t *testing.T) {
	s := newStore(t, Config{Builds: 3})
	var all []Build
	for i := range 5 {
		all = append(all, put(t, s, fmt.Sprint("build", i)))
	}
	wantOnly(t, s, all...) // until Keep says what may go
	must(t, s.Keep(all[0].Digest, all[1].Digest))
	wantOnly(t, s, all[0], all[1], all[4])
	next := put(t, s, "next")
	wantOnly(t, s, all[0], all[1], next)
	must(t, s.Keep(all[0].Digest, all[1].Digest, next.Digest, strings.Repeat("0", 64)))
	last := put(t, s, "last")
	wantOnly(t, s, all[0], all[1], next, last) // beyond the bounds, but none of them may go
	must(t, s.Keep(last.Digest))
	wantOnly(t, s, last, next, all[1])
}

func TestBytesAreBounded(t *testing.T) {
	s := newStore(t, Config{Bytes: 10})
	must(t, s.Keep())
	put(t, s, "four")
	five, three := put(t, s, "fives"), put(t, s, "555")
	wantOnly(t, s, five, three)
	_, err := s.Put(file(t, "server", "more than ten"))
	if err == nil || errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "raise the bound") {
		t.Errorf("got %v", err)
	}
	wantOnly(t, s, five, three)
}

func TestReopenedStoreHasItsBuildsAndNothingHalfDone(t *testing.T) {
	s := newStore(t, Config{})
	known, unrecorded, later, broken := put(t, s, "known"), put(t, s, "unrecorded"), put(t, s, "later"), put(t, s, "broken")
	record := func(b Build) string { return filepath.Join(filepath.Dir(b.Path), recordName) }
	must(t, os.Remove(record(unrecorded)))
	must(t, os.WriteFile(record(later), []byte(`{"version": 2, "size": "many"}`), 0o600))
	must(t, os.WriteFile(record(broken), []byte(`{"version": 1, "si`), 0o600))
	damaged := put(t, s, "damaged")
	must(t, os.Remove(damaged.Path))
	half := filepath.Join(s.dir, stagePrefix+"123")
	must(t, os.Mkdir(half, 0o700))
	must(t, os.WriteFile(filepath.Join(half, "server"), []byte("hal"), 0o500))
	s.Close()

	s = reopen(t, s.dir, Config{})
	for _, b := range []Build{unrecorded, later, broken} {
		got, err := s.Get(b.Digest)
		if err != nil || got.Path != b.Path || got.Size != b.Size || got.Origin != "" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if got, err := s.Get(known.Digest); err != nil || got != known {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.Path(damaged.Digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", half, err)
	}
	must(t, s.Keep())
	wantOnly(t, s, known, unrecorded, later, broken)
}

func TestStoreIsUsedByOneProcessAtATime(t *testing.T) {
	s := newStore(t, Config{})
	_, err := Open(s.dir, Config{})
	if !errors.Is(err, platform.ErrLocked) || !errors.Is(err, ErrUnusable) {
		t.Errorf("got %v, want ErrLocked and ErrUnusable", err)
	}
	s.Close()
	reopen(t, s.dir, Config{})
}

func TestStoreThatOthersCouldUseIsRefusedWithAdvice(t *testing.T) {
	base := t.TempDir()
	must(t, os.Mkdir(filepath.Join(base, "open"), 0o755))
	must(t, os.Symlink("open", filepath.Join(base, "link")))
	must(t, os.WriteFile(filepath.Join(base, "file"), nil, 0o600))
	for name, want := range map[string]string{"open": "chmod 700", "link": "symbolic link", "file": "not a directory", "file/below": "not a directory"} {
		_, err := Open(filepath.Join(base, name), Config{})
		if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	if _, err := Open(filepath.Join(base, "new"), Config{Builds: -1}); err == nil || errors.Is(err, ErrUnusable) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNoBuildIsNotKept(t *testing.T) {
	s, dir := newStore(t, Config{}), t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o700))
	for _, path := range []string{dir, filepath.Join(dir, "pipe"), filepath.Join(dir, "missing"), file(t, "empty", ""), "/dev/null"} {
		if _, err := s.Put(path); err == nil || errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), path) {
			t.Errorf("put %s: %v", path, err)
		}
	}
	for _, digest := range []string{"", "..", "../x", strings.Repeat("0", 64)} {
		if err := s.Verify(digest); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("verify %q: %v", digest, err)
		}
	}
	wantOnly(t, s)
}

func TestFileThatChangesWhileItIsReadIsNotKept(t *testing.T) {
	path := file(t, "server", "one")
	src, err := openSource(path)
	must(t, err)
	defer src.close()
	must(t, os.WriteFile(path, []byte("more"), 0o755))
	if _, _, err := copyExecutable(filepath.Join(t.TempDir(), "copy"), src); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v, want ErrChanged", err)
	}
}

func TestNameOfTheRecordIsNoNameOfAnExecutable(t *testing.T) {
	s := newStore(t, Config{})
	b, err := s.Put(file(t, recordName, "one"))
	must(t, err)
	wantOnly(t, s, b)
	s.Close()
	wantOnly(t, reopen(t, s.dir, Config{}), b)
}

func TestPrivilegesThatACopyLacksAreTold(t *testing.T) {
	path := file(t, "server", "one")
	must(t, os.Chmod(path, 0o755|os.ModeSetgid))
	b, err := newStore(t, Config{}).Put(path)
	must(t, err)
	if !b.Privileged {
		t.Errorf("%+v", b)
	}
}

func TestStoreIsSharedByGoroutines(t *testing.T) {
	s := newStore(t, Config{Builds: 2})
	var group sync.WaitGroup
	for i := range 4 {
		path := file(t, "server", fmt.Sprint(i%3))
		group.Go(func() {
			b, err := s.Put(path)
			if err == nil {
				err = s.Keep(b.Digest)
			}
			if err != nil {
				t.Error(err)
			}
			_ = s.List()
		})
	}
	group.Wait()
	wantOnly(t, s, s.List()...)
}
