package observe

import "github.com/prometheus/procfs"

// Family is a process and all that descend from it, as far as /proc shows: of a program that has workers, what it is. A descendant whose
// parent has ended is none of it.
func Family(pid int) []int {
	all, err := procfs.AllProcs()
	if err != nil {
		return []int{pid}
	}
	children := map[int][]int{}
	for _, p := range all {
		if stat, err := p.Stat(); err == nil {
			children[stat.PPID] = append(children[stat.PPID], p.PID)
		}
	}
	family := []int{pid}
	for i := 0; i < len(family); i++ {
		family = append(family, children[family[i]]...)
	}
	return family
}
