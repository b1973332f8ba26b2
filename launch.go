package handover

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
)

// linkVariable tells a successor which of its descriptors is the link to the incumbent.
const linkVariable = "HANDOVER_LINK"

// keeperVariable tells a generation which of its descriptors is the link to its keeper.
const keeperVariable = "HANDOVER_KEEPER"

// managerVariable tells a successor that its parent is the service manager, and which process that is.
const managerVariable = "HANDOVER_MANAGER"

// launch is how a successor is started. It is settled when New is called: later the directory may have changed, and the
// file may be gone.
type launch struct {
	command string
	args    []string
	env     []string
	dir     string
	manager int // the pid of systemd, if it is the parent
}

func newLaunch(c Config) (launch, error) {
	l := launch{command: c.Command, args: c.Args, env: c.Env, dir: c.Dir, manager: serviceManager()}
	var err error
	if l.dir == "" {
		if l.dir, err = os.Getwd(); err != nil {
			return launch{}, fmt.Errorf("find the directory for successors: %w", err)
		}
	}
	if l.args == nil {
		l.args = os.Args[1:]
	}
	if l.command == "" {
		l.command, err = ownPath()
	} else if l.command, err = exec.LookPath(l.command); err == nil {
		l.command, err = filepath.Abs(l.command)
	}
	if err != nil {
		return launch{}, fmt.Errorf("find the successor's command: %w", err)
	}
	return l, nil
}

// ownPath is the path by which this program was started, made absolute, so that a link that will lead to the next build is
// followed. If it leads elsewhere (argv[0] need not be a path), the path of the executable itself is taken.
func ownPath() (string, error) {
	executable, err := os.Executable()
	if err != nil {
		return "", err
	}
	started, err := exec.LookPath(os.Args[0])
	if err != nil {
		return executable, nil
	}
	if started, err = filepath.Abs(started); err != nil {
		return executable, nil
	}
	a, errA := os.Stat(started)
	b, errB := os.Stat("/proc/self/exe") // the file that runs, even if its name leads to another by now
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		return executable, nil
	}
	return started, nil
}

// start starts a successor, of the service's own command if command is empty. The link is the only descriptor beyond the
// standard ones that it inherits.
func (l launch) start(command string) (*peer.Peer, error) {
	if command == "" {
		command = l.command
	}
	local, remote, err := platform.Pair()
	if err != nil {
		return nil, fmt.Errorf("make a link: %w", err)
	}
	defer func() { _ = remote.Close() }()
	cmd := &exec.Cmd{
		Path: command, Args: append([]string{l.command}, l.args...), Dir: l.dir,
		Env:   l.environment(),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		ExtraFiles: []*os.File{remote}, // descriptor 3
	}
	p := &peer.Peer{Link: peer.NewLink(local)}
	if l.manager != 0 {
		var proof *platform.Pidfd
		if proof, err = platform.StartSibling(cmd); err == nil {
			p.Process = peer.Stranger(proof)
		}
	} else if err = cmd.Start(); err == nil {
		p.Process = peer.Child(cmd.Process)
	}
	if err != nil {
		_ = local.Close()
		return nil, fmt.Errorf("start the successor: %w", err)
	}
	return p, nil
}

// serviceManager is the pid of the systemd that started this generation or the first one, and 0 where there is none. Then
// successors must be its children as this process is: it neither waits for the end nor learns the exit status of a main
// process that is not.
func serviceManager() int {
	parent := os.Getppid()
	inherited := os.Getenv(managerVariable)
	_ = os.Unsetenv(managerVariable)
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return 0
	}
	if os.Getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(os.Getpid()) || inherited == strconv.Itoa(parent) {
		return parent
	}
	return 0
}

// environment is this process's, with what Config.Env adds, and without what was meant for this process alone.
func (l launch) environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == linkVariable || name == keeperVariable || strings.HasPrefix(name, "LISTEN_")
	})
	env = append(append(env, l.env...), linkVariable+"="+strconv.Itoa(3))
	if l.manager != 0 {
		env = append(env, managerVariable+"="+strconv.Itoa(l.manager))
	}
	return env
}

// inheritedLink takes a link out of the environment, so that no process started later believes that it is its own. It
// returns nil where there is none.
func inheritedLink(variable string) (*platform.Socket, error) {
	v := os.Getenv(variable)
	if v == "" {
		return nil, nil
	}
	_ = os.Unsetenv(variable)
	fd, err := strconv.Atoi(v)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s=%q: it is set by who starts a generation, for it alone; unset it", variable, v)
	}
	s, err := platform.NewSocket(fd)
	if err != nil {
		return nil, fmt.Errorf("%s=%q is not a link (it is set by who starts a generation, for it alone; unset it): %w", variable, v, err)
	}
	return s, nil
}

// executable is the file of another generation, held so that it can be started again after its name was given to another
// file.
type executable struct{ fd int }

// executableOf opens the file that process pid runs. That of a process that must not be looked into (PR_SET_DUMPABLE), the user's others cannot open.
func executableOf(pid int) (*executable, error) { return openExecutable(strconv.Itoa(pid)) }

// ownExecutable opens the file that this process runs.
func ownExecutable() (*executable, error) { return openExecutable("self") }

func openExecutable(process string) (*executable, error) {
	f, err := os.Open("/proc/" + process + "/exe")
	if err != nil {
		return nil, err
	}
	return executableFrom(f)
}

// executableFrom takes over f, the open file.
func executableFrom(f *os.File) (*executable, error) {
	defer func() { _ = f.Close() }()
	fd, err := platform.DuplicateHigh(f) // a child's first descriptors are those that it is given
	if err != nil {
		return nil, err
	}
	return &executable{fd}, nil
}

// path leads to the file in this process, and in a child until it executes it.
func (e *executable) path() string { return "/proc/self/fd/" + strconv.Itoa(e.fd) }

func (e *executable) close() {
	if e != nil {
		_ = platform.CloseFD(e.fd)
	}
}
