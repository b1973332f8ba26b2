//go:build debian

package container

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// processes are those of the container: their states (proc_pid_stat(5)), by the pid that each has in it; and outside.
func (c *container) processes() (states map[int]string, outside map[int]int) {
	c.t.Helper()
	said, err := c.runc("state", c.id).Output()
	var state struct{ Pid int }
	if err == nil {
		err = json.Unmarshal(said, &state)
	}
	if err != nil {
		c.t.Fatalf("runc state: %v", err)
	}
	space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", state.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	states, outside = map[int]string{}, map[int]int{}
	all, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		if s := field(string(text), "State"); s != nil {
			pids := field(string(text), "NSpid")
			here, _ := os.Readlink(filepath.Join(filepath.Dir(path), "ns/pid"))
			// The namespace of a zombie cannot be read any more: it may be one of another container.
			if here != space && (s[0] != "Z" || len(pids) < 2) {
				continue
			}
			inside, _ := strconv.Atoi(pids[len(pids)-1])
			states[inside] = s[0]
			if here == space {
				outside[inside], _ = strconv.Atoi(pids[0])
			}
		}
	}
	return states, outside
}

func field(text, name string) []string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Fields(value)
		}
	}
	return nil
}
