package measure

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// clockTick is what proc_pid_stat(5) counts processor time in: USER_HZ is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// CPU is the processor time that these processes have used so far, in user and in kernel mode.
func CPU(pids []int) time.Duration {
	total := time.Duration(0)
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // gone
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		for _, field := range fields[11:13] {
			n, _ := strconv.Atoi(field)
			total += time.Duration(n) * clockTick
		}
	}
	return total
}

// Memory is that of a process, in bytes, as proc_pid_smaps(5) has it.
type Memory struct {
	Proportional int // with its share of the pages that it shares
	Anonymous    int
}

// MemoryOf is what a process uses; zero if it is gone.
func MemoryOf(pid int) (m Memory) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return m
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		switch name {
		case "Pss":
			m.Proportional = kilobytes(rest)
		case "Anonymous":
			m.Anonymous = kilobytes(rest)
		}
	}
	return m
}

func kilobytes(text string) int {
	n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(text, "kB")))
	return n << 10
}

// sampleInterval is how often memory is looked at: a look costs the process some tenths of a millisecond.
const sampleInterval = 20 * time.Millisecond

// Peak looks at the memory of processes again and again, and keeps the greatest sums.
type Peak struct {
	stop context.CancelFunc
	wait sync.WaitGroup
	most Memory
}

// NewPeak begins to look at the processes that list returns, and does so once at least. The caller calls Stop.
func NewPeak(ctx context.Context, list func() ([]int, error)) *Peak {
	ctx, stop := context.WithCancel(ctx)
	p := &Peak{stop: stop}
	p.wait.Go(func() {
		for ended := false; !ended; ended = Pause(ctx, sampleInterval) != nil {
			pids, _ := list() // the next look may see more
			var sum Memory
			for _, pid := range pids {
				m := MemoryOf(pid)
				sum.Proportional, sum.Anonymous = sum.Proportional+m.Proportional, sum.Anonymous+m.Anonymous
			}
			p.most.Proportional, p.most.Anonymous = max(p.most.Proportional, sum.Proportional), max(p.most.Anonymous, sum.Anonymous)
		}
	})
	return p
}

// Stop returns the greatest sums, each by itself.
func (p *Peak) Stop() Memory {
	p.stop()
	p.wait.Wait()
	return p.most
}
