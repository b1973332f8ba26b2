package platform

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// expendable is added to a process's oom_score_adj, whose unit is a thousandth of all memory (proc(5)): with it the kernel takes a
// successor before its incumbent, unless that uses half of the memory more.
const expendable = 500

// Expendable has the kernel take a process before others when memory runs out, until restore is called, once. The file stays open until then: one of a
// process that has concealed itself meanwhile could not be opened.
func Expendable(pid int) (restore func(), err error) {
	f, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("make process %d expendable: %w", pid, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	before := make([]byte, len("-1000\n"))
	n, err := f.Read(before)
	if err != nil {
		return nil, fmt.Errorf("make process %d expendable: %w", pid, err)
	}
	was, err := strconv.Atoi(strings.TrimSpace(string(before[:n])))
	if err != nil {
		return nil, fmt.Errorf("make process %d expendable: %w", pid, err)
	}
	if _, err := f.WriteString(strconv.Itoa(min(was+expendable, 1000))); err != nil {
		return nil, fmt.Errorf("make process %d expendable: %w", pid, err)
	}
	return func() {
		_, _ = f.WriteString(strconv.Itoa(was)) // down to where it was, no privilege is needed
		_ = f.Close()
	}, nil
}
