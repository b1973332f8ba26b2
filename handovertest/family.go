package handovertest

import "fmt"

// familyEnv marks every process of a family, as each generation hands its
// environment down to the next.
const familyEnv = "HANDOVERTEST_FAMILY"

// Process is one process of a service's family.
type Process struct {
	PID, Parent int
	State       string // as in proc_pid_stat(5): R, S, D, T, Z, …
	Command     string
}

// String names the process for a failure message.
func (p Process) String() string {
	return fmt.Sprintf("pid %d (parent %d, state %s): %s", p.PID, p.Parent, p.State, p.Command)
}
