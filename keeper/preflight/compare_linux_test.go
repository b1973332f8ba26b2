package preflight

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFirstBuildIsComparedWithThisProcess(t *testing.T) {
	_, err := Check(programs["next"], Reference{})
	must(t, err)
	_, err = Check(programs["foreign"], Reference{})
	wantUnfit(t, err, programs["foreign"], "where this process is", "GOARCH=")
	_, err = Check(place(t, "run.sh", []byte("#!/bin/sh\n"), 0o755), Reference{})
	must(t, err)
}

func TestScriptMayFollowAScriptAndAProgramToo(t *testing.T) {
	incumbent := Reference{Path: place(t, "run.sh", []byte("#!/bin/sh\n"), 0o755)}
	_, err := Check(place(t, "run.sh", []byte("#! /usr/bin/env sh\n"), 0o755), incumbent)
	must(t, err)
	r, err := Check(programs["next"], incumbent)
	must(t, err)
	if !warned(r, "the incumbent is a script") {
		t.Errorf("%v", r.Warnings)
	}
}

func TestMissingBuildInformationIsAWarning(t *testing.T) {
	shell, err := exec.LookPath("sh")
	must(t, err)
	r, err := Check(shell, Reference{Path: programs["incumbent"]})
	must(t, err)
	if !warned(r, "no build information") {
		t.Errorf("%v", r.Warnings)
	}
	r, err = Check(programs["next"], Reference{Path: shell})
	must(t, err)
	if !warned(r, "the incumbent says nothing") {
		t.Errorf("%v", r.Warnings)
	}
}

func TestAnotherProgramOfTheModuleIsAWarning(t *testing.T) {
	r, err := Check(programs["migrate"], Reference{Path: programs["incumbent"]})
	must(t, err)
	if !warned(r, `is program "example.com/shop/migrate" of the module`) {
		t.Errorf("%v", r.Warnings)
	}
}

func TestOtherPrivilegesThanTheIncumbentsAreAWarning(t *testing.T) {
	path := place(t, "server", content(t, "next"), 0o755)
	must(t, os.Chmod(path, 0o755|os.ModeSetgid))
	r, err := Check(path, Reference{Path: programs["incumbent"]})
	must(t, err)
	if !warned(r, "set-id bits g") {
		t.Errorf("%v", r.Warnings)
	}
}

func TestIncumbentOfADeletedExecutableIsComparedWith(t *testing.T) {
	path := place(t, "server", content(t, "other"), 0o755)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	must(t, os.Remove(path))
	_, err = Check(programs["next"], Reference{Path: fmt.Sprintf("/proc/self/fd/%d", f.Fd())})
	wantUnfit(t, err, programs["next"], `the incumbent of "example.com/bank"`, "same service")
}

func TestIncumbentThatIsGoneIsAWarning(t *testing.T) {
	ended := exec.Command(os.Args[0], "-test.list=^$")
	must(t, ended.Run())
	r, err := Check(programs["next"], Reference{PID: ended.Process.Pid})
	must(t, err)
	if !warned(r, "cannot be compared with") {
		t.Errorf("%v", r.Warnings)
	}
}

func TestDeletedBuildBehindADescriptorIsExamined(t *testing.T) {
	path := place(t, "server", content(t, "next"), 0o755)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	must(t, os.Remove(path))
	_, err = Check(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), Reference{Path: programs["incumbent"]})
	must(t, err)
}

func TestFewDescriptorsAreAFault(t *testing.T) {
	var before syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	names, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	few := syscall.Rlimit{Cur: uint64(len(names) + 5), Max: before.Max}
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few))
	_, err = Check(programs["next"], Reference{Path: programs["incumbent"]})
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before))
	wantUnfit(t, err, programs["next"], "free descriptors left", "LimitNOFILE")
}

func TestIncumbentNearItsLimitOfDescriptorsIsAWarning(t *testing.T) {
	var e examination
	e.incumbent.pid = os.Getpid()
	limit, err := limitOf(os.Getpid(), "Max open files")
	must(t, err)
	e.checkDescriptors()
	if len(e.report.Warnings) != 0 {
		t.Errorf("%v", e.report.Warnings)
	}
	var before syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	if int(before.Cur) != limit {
		t.Errorf("limit %d, want %d", limit, before.Cur)
	}
	names, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(len(names) + 2), Max: before.Max}))
	e.checkDescriptors()
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before))
	if !warned(e.report, "descriptors open") {
		t.Errorf("%v", e.report.Warnings)
	}
}

func TestMemoryIsJudgedByWhatTheFileAndTheIncumbentTake(t *testing.T) {
	for _, c := range []struct {
		available, needed, loads int64
		fault, warning           bool
	}{
		{available: 300 << 20, needed: 200 << 20, loads: 10 << 20},
		{available: 100 << 20, needed: 200 << 20, loads: 10 << 20, warning: true},
		{available: 5 << 20, needed: 200 << 20, loads: 10 << 20, fault: true},
	} {
		e := examination{loads: c.loads}
		e.report.Memory = Memory{Available: c.available, Of: "this machine", Needed: c.needed}
		e.judgeMemory()
		if (len(e.faults) > 0) != c.fault || (len(e.report.Warnings) > 0) != c.warning {
			t.Errorf("%+v: faults %v, warnings %v", c, e.faults, e.report.Warnings)
		}
	}
}

// TestRoomIsTheLowestLimitOnTheWayUp has the files of three machines.
func TestRoomIsTheLowestLimitOnTheWayUp(t *testing.T) {
	const meminfo = "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n"
	for name, c := range map[string]struct {
		files          map[string]string
		bytes, threads int64
		memoryOf, of   string
	}{
		"no control groups": {files: map[string]string{"proc/meminfo": meminfo}, bytes: 8000 << 10, memoryOf: "this machine"},
		"version 2, limited above": {
			files: map[string]string{
				"proc/meminfo":                       meminfo,
				"proc/self/cgroup":                   "0::/shop/server\n",
				"proc/self/mountinfo":                "30 23 0:26 / /cg rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
				"cg/shop/server/memory.max":          "max\n",
				"cg/shop/server/memory.current":      "500\n",
				"cg/shop/server/pids.max":            "100\n",
				"cg/shop/server/pids.current":        "90\n",
				"cg/shop/memory.max":                 "1000000\n",
				"cg/shop/memory.current":             "900000\n",
				"cg/shop/memory.stat":                "anon 1\ninactive_file 300000\n",
				"cg/shop/pids.max":                   "max\n",
				"cg/memory.stat":                     "inactive_file 5\n",
				"cg/shop/server/server/memory.max":   "1\n",
				"cg/elsewhere/server/memory.current": "1\n",
			},
			bytes: 400000, memoryOf: "/cg/shop", threads: 10, of: "/cg/shop/server",
		},
		"version 1, in a container": {
			files: map[string]string{
				"proc/meminfo":                       meminfo,
				"proc/self/cgroup":                   "8:pids:/docker/abc\n4:cpu,memory:/docker/abc\n0::/\n",
				"proc/self/mountinfo":                "32 31 0:29 /docker/abc /cg/memory rw - cgroup cgroup rw,cpu,memory\n33 31 0:30 /docker/abc /cg/pids rw - cgroup cgroup rw,pids\n",
				"cg/memory/memory.limit_in_bytes":    "700000\n",
				"cg/memory/memory.usage_in_bytes":    "650000\n",
				"cg/memory/memory.stat":              "total_inactive_file 50000\n",
				"cg/pids/pids.max":                   "5\n",
				"cg/pids/pids.current":               "9\n",
				"cg/memory/docker/abc/memory.limits": "1\n",
			},
			bytes: 100000, memoryOf: "/cg/memory", threads: 0, of: "/cg/pids",
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, text := range c.files {
				must(t, os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755))
				must(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o644))
			}
			if bytes, of := host(root).memory(); bytes != c.bytes || of != c.memoryOf {
				t.Errorf("memory: %d of %q, want %d of %q", bytes, of, c.bytes, c.memoryOf)
			}
			if n, of := host(root).tasks(); of != c.of || of != "" && n != c.threads {
				t.Errorf("threads: %d of %q, want %d of %q", n, of, c.threads, c.of)
			}
		})
	}
}

func TestThisMachineSaysHowMuchMemoryItHas(t *testing.T) {
	bytes, of := host("/").memory()
	if bytes <= 0 || of == "" || strings.Contains(of, "..") {
		t.Errorf("%d of %q", bytes, of)
	}
}
