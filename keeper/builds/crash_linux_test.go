package builds

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStoreIsWholeAfterItsProcessWasKilledAtAnyInstant kills a process that puts and removes builds without end, as soon as a
// step of that is seen in its directory.
func TestStoreIsWholeAfterItsProcessWasKilledAtAnyInstant(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "builds")
	const half = stagePrefix + "*"
	halfDone := 0
	for round, step := range slices.Repeat([]string{"*/server", half, half + "/server", half + "/" + recordName}, 4) {
		cmd := again("putting", os.Args[0], dir, t.TempDir(), fmt.Sprint(round))
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "put ") {
			t.Errorf("%q, %v", line, err)
		}
		await(t, filepath.Join(dir, step))
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		left, err := filepath.Glob(filepath.Join(dir, half))
		must(t, err)
		halfDone += len(left)

		s, err := Open(dir, Config{})
		must(t, err)
		if len(s.List()) == 0 {
			t.Error("nothing was kept")
		}
		wantOnly(t, s, s.List()...)
		s.Close()
	}
	if halfDone == 0 {
		t.Error("no process was killed halfway")
	}
}

// await returns when a file of that pattern is seen.
func await(t *testing.T, pattern string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if seen, err := filepath.Glob(pattern); err != nil || len(seen) > 0 {
			must(t, err)
			return
		}
	}
	t.Errorf("%s was not seen", pattern)
}

// putForEver puts builds of a mebibyte into the store args[0]. Their origins are in args[1].
func putForEver(args []string) error {
	s, err := Open(args[0], Config{Builds: 3})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		origin := filepath.Join(args[1], "server")
		content := strings.Repeat(fmt.Sprintf("%s.%d\n", args[2], i), 1<<17)
		if err := os.WriteFile(origin, []byte(content), 0o755); err != nil {
			return err
		}
		b, err := s.Put(origin)
		if err == nil {
			err = s.Keep(b.Digest)
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Println("put", b.Digest); err != nil {
			return err
		}
	}
}

// TestStoreThatCannotBeWrittenSaysSoAndIsLeftAsItWas has the store on a file system of its own, which is full, and which is
// read-only. Who may not mount has files bounded in size, and a directory without the right to write.
func TestStoreThatCannotBeWrittenSaysSoAndIsLeftAsItWas(t *testing.T) {
	for _, how := range []string{"full", "read-only"} {
		t.Run(how, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "mount")
			must(t, os.Mkdir(dir, 0o700))
			run := func(confinement string) (string, error) {
				cmd := again("confined", os.Args[0], confinement, how, dir, t.TempDir())
				if confinement == "mount" {
					isolate(cmd)
				}
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			said, err := run("mount")
			if errors.Is(err, fs.ErrPermission) || strings.Contains(said, "mount: operation not permitted") {
				said, err = run("limits")
			}
			if err != nil || said != "as it was\n" {
				t.Errorf("%v: %s", err, said)
			}
		})
	}
}

// isolate gives the command mounts of its own, and for that, where need be, users of its own.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	}
}

// putConfined keeps a small build, and then has no room for a large one.
func putConfined(args []string) error {
	mounts, full, dir, origins := args[0] == "mount", args[1] == "full", args[2], args[3]
	if mounts {
		if err := mount(dir, 0); err != nil {
			return err
		}
	}
	small, large := filepath.Join(origins, "small"), filepath.Join(origins, "large")
	err := errors.Join(
		os.WriteFile(small, []byte("small"), 0o755),
		os.WriteFile(large, make([]byte, 1<<20), 0o755),
	)
	if err != nil {
		return err
	}
	store := filepath.Join(dir, "builds")
	s, err := Open(store, Config{})
	if err != nil {
		return err
	}
	kept, err := s.Put(small)
	if err != nil {
		return err
	}
	var want error
	switch {
	case mounts && full:
		want = syscall.ENOSPC
		_, err = s.Put(large)
	case mounts:
		want = syscall.EROFS
		s.Close() // whose lock is a file that is open for writing, which keeps the mount writable
		if err := mount(dir, syscall.MS_REMOUNT|syscall.MS_RDONLY); err != nil {
			return err
		}
		_, err = Open(store, Config{})
	case full:
		want = syscall.EFBIG
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
			return err
		}
		_, err = s.Put(large)
	default:
		want = syscall.EACCES
		if err := os.Chmod(store, 0o500); err != nil {
			return err
		}
		_, err = s.Put(large)
	}
	if !errors.Is(err, ErrUnusable) || !errors.Is(err, want) {
		return fmt.Errorf("got %v, want ErrUnusable and %v", err, want)
	}
	entries, err := os.ReadDir(store)
	if err != nil || len(entries) != 2 || kept.Verify() != nil {
		return fmt.Errorf("left behind: %v, %v", entries, err)
	}
	fmt.Println("as it was")
	return nil
}

// mount mounts a small file system, which only this process sees.
func mount(dir string, flags uintptr) error {
	err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount("none", dir, "tmpfs", flags, "size=256k,mode=0700")
	}
	if err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return nil
}
