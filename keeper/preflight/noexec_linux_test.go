package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBuildOnANoexecMountIsUnfit has the build on a mount that only another process sees. Who may not mount, takes /proc,
// which most systems mount noexec.
func TestBuildOnANoexecMountIsUnfit(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], dir, programs["next"])
	cmd.Env = append(os.Environ(), "PREFLIGHT_TEST_ROLE=noexec", "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	said := string(out)
	if errors.Is(err, fs.ErrPermission) || strings.Contains(said, "mount: operation not permitted") {
		_, err = Check("/proc/self/status", Reference{})
		said = err.Error()
	}
	if !strings.Contains(said, "is on a file system mounted noexec: deploy it elsewhere") {
		t.Errorf("%s\n%v", said, err)
	}
}

func checkOnNoexecMount() int {
	dir, program := os.Args[1], os.Args[2]
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		fmt.Println("mount:", err)
		return 1
	}
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_NOEXEC, "size=16m"); err != nil {
		fmt.Println("mount:", err)
		return 1
	}
	p, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "server"), p, 0o755)
	}
	if err == nil {
		_, err = Check(filepath.Join(dir, "server"), Reference{})
	}
	fmt.Println(err)
	return 0
}
