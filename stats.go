package handover

import (
	"bytes"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// stats notes, in the loop, where this generation stands, and returns how to gather the figures, which is to be done elsewhere: with
// many connections it takes its time.
func (l *life) stats() (gather func() wire.Figures) {
	p := l.process
	p.counts.begin()
	state, generation := l.state.String(), l.generation
	return func() wire.Figures {
		return wire.Figures{
			Generation: generation, PID: p.pid, State: state, UptimeMs: time.Since(p.started).Milliseconds(),
			Goroutines: runtime.NumGoroutine(), HeapBytes: heap(), RSSBytes: resident(), Descriptors: descriptors(),
			Connections: p.sockets.phases(), Requests: p.counts.figures(),
		}
	}
}

// heap is the size of all objects.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// resident is the memory in use, as proc_pid_statm(5) has it; 0 where there is no such file.
func resident() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// descriptors is how many are open; 0 where the system does not tell.
func descriptors() int {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0
	}
	return len(names) - 1 // without the one that they were read from
}
