package release

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestStoreThatIsMissingIsEmpty(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.List()
	_, current, currentErr := s.Current()
	version, committedErr := s.Committed()
	removed, pruneErr := s.Prune(0)
	if len(all)+len(removed) > 0 || current || version != "" || errors.Join(err, currentErr, committedErr, pruneErr) != nil {
		t.Errorf("%v, %v, %q, %v: %v, %v, %v, %v", all, current, version, removed, err, currentErr, committedErr, pruneErr)
	}
	for _, do := range []func(string) error{s.Activate, s.Commit} {
		if err := do("1.0.0-000000000000"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("it was made: %v", err)
	}
}

// TestStoreIsMadeWhateverTheUmask, for services of other users run from it; and the names of the directories above it outlive a crash too.
func TestStoreIsMadeWhateverTheUmask(t *testing.T) {
	above := t.TempDir()
	var synced []string
	s, err := open(filepath.Join(above, "services", "shop"), disk{step: func(what string) { synced = append(synced, what) }})
	if err != nil {
		t.Fatal(err)
	}
	before := syscall.Umask(0o077)
	err = s.makeDirs()
	syscall.Umask(before)
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]os.FileMode{filepath.Dir(s.Dir()): 0o755, s.Dir(): 0o755, s.path(releasesDir): 0o755, s.path(stagingDir): stagingMode} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", dir, info.Mode(), err, want)
		}
	}
	for _, dir := range []string{above, filepath.Dir(s.Dir()), s.Dir()} {
		if !slices.Contains(synced, "sync "+dir) {
			t.Errorf("what was made in %s may be gone after a crash: %q", dir, synced)
		}
	}
}

func TestReleaseIsFoundByWhatPeopleCallIt(t *testing.T) {
	w := newWorkshop(t)
	s, first := w.serving()
	second := w.added(s, w.signed("1.2.0"))
	twin := w.added(s, w.sign(w.write("twin.tar", packed(t, append(program("1.2.0")[:5], program("x")[2:5]...)[:5])), "1.2.0", noTime))
	for ref, want := range map[string]string{"current": first.ID, "1.1.0": first.ID, first.ID: first.ID, first.ID[:8]: first.ID, twin.ID: twin.ID, second.ID[:len(second.ID)-1]: second.ID} {
		if r, err := s.Get(ref); err != nil || r.ID != want {
			t.Errorf("%q: %s, %v; want %s", ref, r.ID, err, want)
		}
	}
	for ref, want := range map[string]error{"1.2.0": ErrAmbiguous, "1": ErrAmbiguous, "": ErrNotFound, "2": ErrNotFound, "../releases/" + first.ID: ErrNotFound} {
		if r, err := s.Get(ref); !errors.Is(err, want) {
			t.Errorf("%q: %s, %v; want %v", ref, r.ID, err, want)
		}
	}
}

func TestCurrentReleaseGoesForthAndBack(t *testing.T) {
	w := newWorkshop(t)
	s, first := w.serving()
	second := w.added(s, w.signed("1.2.0"))
	for _, r := range []Release{second, first, second} {
		w.check(s.Activate(r.ID))
		program, err := os.ReadFile(filepath.Join(s.Dir(), "current", "bin", "shop"))
		c, ok, currentErr := s.Current()
		if err != nil || !strings.Contains(string(program), r.Manifest.Version) || currentErr != nil || !ok || c.ID != r.ID {
			t.Errorf("%s: %q, %v; %s, %v, %v", r.ID, program, err, c.ID, ok, currentErr)
		}
	}
	for _, id := range []string{"3.0.0-000000000000", "../..", ""} {
		if err := s.Activate(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("activate %q: %v", id, err)
		}
	}
	w.check(os.Rename(second.Command(), second.Command()+"-away"))
	if err := s.Activate(second.ID); !errors.Is(err, ErrDamaged) {
		t.Errorf("activate a release without its program: %v", err)
	}
}

func TestCommittedVersionNeverFalls(t *testing.T) {
	w := newWorkshop(t)
	s, first := w.serving()
	second := w.added(s, w.signed("1.2.0"))
	for _, step := range []struct{ id, want string }{{second.ID, "1.2.0"}, {first.ID, "1.2.0"}} {
		w.check(s.Commit(step.id))
		if v, err := s.Committed(); err != nil || v != step.want {
			t.Errorf("committed %s: %q, %v", step.id, v, err)
		}
	}
	older := w.signed("1.1.5")
	if _, err := s.Add(t.Context(), source(t, older), w.policy(), nil); !errors.Is(err, ErrOlder) {
		t.Errorf("older: %v", err)
	}
	if _, err := s.Add(t.Context(), source(t, older), Policy{Keys: w.keys, AllowOlder: true}, nil); err != nil {
		t.Errorf("older, as it was asked for: %v", err)
	}
	w.check(os.WriteFile(s.path(committedFile), []byte("{}"), 0o644))
	if _, err := s.Add(t.Context(), source(t, w.signed("9.0.0")), w.policy(), nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("with a mark that cannot be read: %v", err)
	}
}

func TestPruneSparesWhatIsNeeded(t *testing.T) {
	w := newWorkshop(t)
	s, current := w.serving()
	var ids []string
	for _, v := range []string{"1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.6.0"} {
		ids = append(ids, w.added(s, w.signed(v)).ID)
	}
	w.check(os.Remove(filepath.Join(s.Dir(), releasesDir, ids[4], ownDir, ownManifest)))
	if all, err := s.List(); len(all) != 5 || !errors.Is(err, ErrDamaged) {
		t.Errorf("%d releases, %v", len(all), err)
	}
	w.check(s.Commit(ids[0]))
	removed, err := s.Prune(1, ids[1])
	if slices.Sort(removed); err != nil || !slices.Equal(removed, []string{ids[2], ids[4]}) && !slices.Equal(removed, []string{ids[4], ids[2]}) {
		t.Errorf("removed %q, %v", removed, err)
	}
	left, err := s.List()
	w.check(err)
	if len(left) != 4 || left[0].ID != ids[3] {
		t.Errorf("left %d, first %s", len(left), left[0].ID)
	}
	if c, ok, err := s.Current(); err != nil || !ok || c.ID != current.ID {
		t.Errorf("current %s, %v, %v", c.ID, ok, err)
	}
	if staged, err := os.ReadDir(s.path(stagingDir)); err != nil || len(staged) > 0 {
		t.Errorf("staging has %v, %v", staged, err)
	}
}

// TestStoreIsNotLockedByWhoMayOnlyRead: whoever can open a directory can lock it (flock(2)), and services open that of their releases.
func TestStoreIsNotLockedByWhoMayOnlyRead(t *testing.T) {
	w := newWorkshop(t)
	s, first := w.serving()
	for _, dir := range []string{s.Dir(), s.path(releasesDir), first.Dir} {
		unlock, err := tryLock(dir)
		w.check(err)
		defer unlock()
	}
	w.check(s.Activate(w.added(s, w.signed("1.2.0")).ID))
	info, err := os.Stat(s.path(stagingDir))
	w.check(err)
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the directory by which the store is locked has mode %s", info.Mode())
	}
}

func TestDamageIsFound(t *testing.T) {
	w := newWorkshop(t)
	for name, harm := range map[string]func(dir string) error{
		"flipped": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "etc/shop.yaml"), []byte("version: 1.2.1\n"), 0o644)
		},
		"missing":  func(dir string) error { return os.Remove(filepath.Join(dir, "etc/shop.yaml")) },
		"more":     func(dir string) error { return os.WriteFile(filepath.Join(dir, "etc/more"), nil, 0o644) },
		"mode":     func(dir string) error { return os.Chmod(filepath.Join(dir, "etc/shop.yaml"), 0o555) },
		"link":     func(dir string) error { return os.Remove(filepath.Join(dir, "etc/default.yaml")) },
		"manifest": func(dir string) error { return os.Remove(filepath.Join(dir, ownDir, ownManifest)) },
	} {
		s := store(t)
		r := w.added(s, w.signed("1.2.0"))
		w.check(s.Verify(t.Context(), r.ID))
		if err := os.Chmod(filepath.Join(r.Dir, "etc/shop.yaml"), 0o644); err != nil {
			t.Fatal(err)
		}
		w.check(harm(r.Dir))
		if err := s.Verify(t.Context(), r.ID); !errors.Is(err, ErrDamaged) || errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysOthersCanWriteAreNotTrusted(t *testing.T) {
	w := newWorkshop(t)
	ring, err := LoadKeys(w.dir)
	if err != nil || ring.Len() != 1 {
		t.Errorf("%d keys, %v", ring.Len(), err)
	}
	w.check(os.Chmod(w.path("ci.key.pub"), 0o666))
	if _, err := LoadKeys(w.dir); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("file: %v", err)
	}
	w.check(os.Chmod(w.path("ci.key.pub"), 0o644))
	w.check(os.Chmod(w.dir, 0o777))
	if _, err := LoadKeys(w.dir); err == nil {
		t.Error("directory")
	}
	if info, err := os.Stat(w.path("ci.key")); err != nil || info.Mode() != 0o600 {
		t.Errorf("private key: %v, %v", info.Mode(), err)
	}
	if _, err := GenerateKey(w.path("ci.key"), ""); !os.IsExist(err) && !errors.Is(err, os.ErrExist) {
		t.Errorf("a key was replaced: %v", err)
	}
}

// Encryption takes 1 GiB of memory, as minisign has it, so it is tried with HANDOVER_COUNT=full.
func TestPrivateKeyIsEncryptedWithItsPassphrase(t *testing.T) {
	if os.Getenv("HANDOVER_COUNT") != "full" {
		return
	}
	file := filepath.Join(t.TempDir(), "ci.key")
	if _, err := GenerateKey(file, "right"); err != nil {
		t.Fatal(err)
	}
	for passphrase, ok := range map[string]bool{"right": true, "wrong": false} {
		if _, err := LoadPrivateKey(file, func() (string, error) { return passphrase, nil }); (err == nil) != ok {
			t.Errorf("%s: %v", passphrase, err)
		}
	}
}
