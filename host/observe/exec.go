package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/handover-go/handover/host/judge"
)

// Exec runs a program, which passes by exit status 0. The program has a process group of its own, and all of the group is killed when
// the program ends or its time is over.
type Exec struct {
	Name string
	Argv []string // program and arguments. The program is a path, or is looked for in PATH
	Dir  string   // working directory. Default: Root, else that of this process
	// Root is asked before each run for the directory in which a program lies whose path is not absolute. Default: this process's PATH and directory.
	Root func() string
	// Env is all of its environment, each NAME=value. Default: PATH and HOME of this process and nothing else, as variables
	// of a handover are no business of a check.
	Env []string
	// Attr is what else it is started with, and as whom; it is not changed. Default: as this process. The group is its own in any case.
	Attr    *syscall.SysProcAttr
	Timeout time.Duration // Default 5 s
}

// Validate returns what is wrong with the check, or nil. It does not look whether the program is there: that may change.
func (c Exec) Validate() error {
	var wrong []error
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		wrong = append(wrong, errors.New("Argv: want a program"))
	}
	if c.Dir != "" && !filepath.IsAbs(c.Dir) {
		wrong = append(wrong, fmt.Errorf("Dir: %q: want an absolute path", c.Dir))
	}
	for _, v := range c.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
			wrong = append(wrong, fmt.Errorf("Env: %q: want NAME=value", v))
		}
	}
	return named(c.Name, c.Timeout, wrong...)
}

// Run runs the program once. What it has written last, up to 4 KiB, is the detail. A process that the kernel does not let go, even
// killed, keeps Run from returning.
func (c Exec) Run(ctx context.Context) judge.Check { return measure(ctx, c.Name, c.Timeout, c.ask) }

func (c Exec) ask(ctx context.Context) (string, error) {
	if len(c.Argv) == 0 {
		return "", errors.New("no program to run")
	}
	var output tail
	path, dir := c.Argv[0], c.Dir
	if c.Root != nil {
		root := c.Root()
		dir = cmp.Or(dir, root)
		switch {
		case filepath.IsAbs(path):
		case root == "":
			return "", fmt.Errorf("run %s: it lies within a release, and none is here", path)
		default:
			path = filepath.Join(root, path)
		}
	}
	program := exec.Command(path, c.Argv[1:]...)
	program.Dir = dir
	program.SysProcAttr = &syscall.SysProcAttr{}
	if c.Attr != nil {
		*program.SysProcAttr = *c.Attr
	}
	program.Env = c.Env
	if c.Env == nil {
		program.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	}
	program.Stdout, program.Stderr = &output, &output
	program.WaitDelay = time.Second // for what has left the group, and writes on
	err := runGroup(ctx, program)
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the program itself ended well
	}
	said := strings.TrimSpace(string(output.kept))
	switch {
	case err != nil && said != "":
		return "", fmt.Errorf("run %s: %w: %s", c.Argv[0], err, said)
	case err != nil:
		return "", fmt.Errorf("run %s: %w", c.Argv[0], err)
	}
	return said, nil
}

// tail keeps the last of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - maxDetail; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}
