package observe_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds every wait of a test.
const patience = 10 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv("OBSERVE_CHILD") != "" {
		obey(os.Stdin, os.Stdout)
		return
	}
	goleak.VerifyTestMain(m)
}

// obey does what it is told, line by line, and answers each with "done".
func obey(in io.Reader, out io.Writer) {
	var memory [][]byte
	var files []*os.File
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var what string
		var n int
		_, _ = fmt.Sscan(lines.Text(), &what, &n)
		switch what {
		case "allocate": // MiB
			block := make([]byte, n<<20)
			for i := 0; i < len(block); i += 4096 {
				block[i] = 1
			}
			memory = append(memory, block)
		case "open":
			for range n {
				f, err := os.Open(os.DevNull)
				if err != nil {
					fmt.Fprintln(out, err)
					return
				}
				files = append(files, f)
			}
		case "spin": // ms
			for began := time.Now(); time.Since(began) < time.Duration(n)*time.Millisecond; {
			}
		}
		fmt.Fprintln(out, "done", len(memory), len(files))
	}
}

// child is a process that grows as it is told.
type child struct {
	t       *testing.T
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func startChild(t *testing.T) *child {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	c := &child{t: t, command: exec.CommandContext(ctx, os.Args[0])}
	c.command.Env = append(os.Environ(), "OBSERVE_CHILD=1", "GORACE=atexit_sleep_ms=0")
	in, err := c.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.end()
		cancel()
	})
	return c
}

// tell returns when the child has done what it was told.
func (c *child) tell(what string, n int) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, what, n); err != nil {
		c.t.Fatal(err)
	}
	if line, err := c.out.ReadString('\n'); err != nil || !strings.HasPrefix(line, "done") {
		c.t.Fatalf("told to %s %d, it says %q: %v", what, n, line, err)
	}
}

func (c *child) pid() int { return c.command.Process.Pid }

// end lets the child end, and reaps it. More than once does nothing.
func (c *child) end() {
	_ = c.in.Close()
	_ = c.command.Wait()
}
