package preflight

import (
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/handover-go/handover/internal/platform"
)

const (
	// fewDescriptors is what starting a process takes, and a link to it, several times over.
	fewDescriptors = 16

	mebibyte = 1 << 20
)

// Memory is how much there is for a successor, in bytes, and how much it is expected to need. An incumbent and its successor
// run side by side, so that what the incumbent uses is not yet free.
type Memory struct {
	Available int64  // 0 if it is not known
	Of        string // what bounds it: "this machine", or a control group's directory
	Needed    int64  // half as much again as the incumbent has resident, or as the file maps if that is more
}

// checkMachine looks for room. Too little memory for the file alone is a fault. Less than Needed is a warning only, as nobody
// knows what the next build will use; the half on top of the incumbent's use is for the requests that both answer while one
// drains, and for the heap of a program that has not yet collected its garbage for the first time.
func (e *examination) checkMachine() {
	m := &e.report.Memory
	m.Needed = max(e.incumbent.resident, e.loads) / 2 * 3
	if available, of := host("/").memory(); of != "" {
		m.Available, m.Of = available, of
		e.judgeMemory()
	}
	if free, err := platform.FreeDescriptors(); err == nil && free < fewDescriptors {
		e.faults = append(e.faults, Finding{
			Where: "this process", What: fmt.Sprintf("has %d free descriptors left", free), Do: "raise its limit of open files (LimitNOFILE= or ulimit -n)",
		})
	}
	if e.incumbent.pid != 0 {
		e.checkDescriptors()
		e.checkTasks()
	}
}

func (e *examination) judgeMemory() {
	m := e.report.Memory
	f := Finding{
		Where: m.Of,
		What:  fmt.Sprintf("has %d MiB of memory left, and the successor is expected to need %d MiB", m.Available/mebibyte, m.Needed/mebibyte),
		Do:    "free memory, or raise the limit: while two generations run side by side, the kernel may kill either",
	}
	switch {
	case m.Available < e.loads:
		f.What = fmt.Sprintf("has %d KiB of memory left, and the file alone takes %d KiB", m.Available>>10, e.loads>>10)
		e.faults = append(e.faults, f)
	case m.Available < m.Needed:
		e.report.Warnings = append(e.report.Warnings, f)
	}
}

// checkDescriptors warns if the incumbent has more than three quarters of its descriptors open: the successor has the same
// limit, gets the same listeners, and takes over connections.
func (e *examination) checkDescriptors() {
	pid := e.incumbent.pid
	limit, err := limitOf(pid, "Max open files")
	if err != nil {
		return // it is gone, which has been said
	}
	open, err := countNames(procOf(pid, "fd"))
	if err == nil && open > limit/4*3 {
		e.report.Warnings = append(e.report.Warnings, Finding{
			Where: fmt.Sprintf("process %d", pid), What: fmt.Sprintf("has %d of %d descriptors open", open, limit),
			Do: "raise the limit of open files (LimitNOFILE= or ulimit -n) before the successor gets as many",
		})
	}
}

// checkTasks warns if the control group has no room for as many threads as the incumbent has.
func (e *examination) checkTasks() {
	room, of := host("/").tasks()
	threads, err := countNames(procOf(e.incumbent.pid, "task"))
	if err == nil && of != "" && room < int64(threads) {
		e.report.Warnings = append(e.report.Warnings, Finding{
			Where: of, What: fmt.Sprintf("has room for %d more threads, and the incumbent has %d", room, threads), Do: "raise the limit of tasks (TasksMax= or pids.max)",
		})
	}
}

// limitOf reads a soft limit of a process (proc(5), limits).
func limitOf(pid int, name string) (int, error) {
	text, err := readSmall(procOf(pid, "limits"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			soft, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			if soft == "unlimited" {
				return math.MaxInt, nil
			}
			return strconv.Atoi(soft)
		}
	}
	return 0, fmt.Errorf("process %d has no limit %q", pid, name)
}

// countNames counts without keeping the names, of which a process can have a million.
func countNames(dir string) (int, error) {
	d, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	for n := 0; ; {
		names, err := d.Readdirnames(1024)
		n += len(names)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
