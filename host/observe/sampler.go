package observe

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"github.com/handover-go/handover/host/judge"
)

// ticks of the kernel's accounting in a second: USER_HZ, which is 100 on every architecture that Go knows.
const ticks = 100

// Sampler reads what the processes of one build use, from /proc. It remembers the reading before, and belongs to one goroutine.
//
// The kernel counts resident pages in batches for each thread: RSS may be off by some hundred KiB.
type Sampler struct {
	proc procfs.FS
	last map[int]used
	at   time.Time
}

// used is the processor time of a process, in ticks. Its number and its start tell it from every other.
type used struct{ start, time uint64 }

// NewSampler returns a sampler, or an error that wraps errors.ErrUnsupported where there is no /proc.
func NewSampler() (*Sampler, error) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, fmt.Errorf("open /proc: %w: %w", errors.ErrUnsupported, err)
	}
	return &Sampler{proc: proc}, nil
}

// Read returns what these processes use together: RSS, CPU, FDs and Threads. CPU is known from the second reading of each process
// on, and tells of the time between the two. Processes that have ended are left out; if all have, nothing is known. What could
// not be read of one of them is not known of all, and the error says why; the other figures hold. Descriptors of another user's process
// are for root to count.
func (s *Sampler) Read(pids ...int) (judge.Resources, error) {
	now := time.Now()
	before, since := s.last, now.Sub(s.at)
	s.last, s.at = make(map[int]used, len(pids)), now

	var each []judge.Resources
	var wrong []error
	for _, pid := range pids {
		r, err := s.process(pid, before, since)
		if errors.Is(err, errEnded) {
			continue
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("read process %d: %w", pid, err))
		}
		each = append(each, r)
	}
	return together(each), errors.Join(wrong...)
}

// errEnded is of a process that is none any more, or only a zombie.
var errEnded = errors.New("it has ended")

// process reads one process. Next to an error stands what could be read all the same.
func (s *Sampler) process(pid int, before map[int]used, since time.Duration) (r judge.Resources, err error) {
	p, err := s.proc.Proc(pid)
	if err != nil {
		return r, ended(err)
	}
	stat, err := p.Stat()
	if err != nil {
		return r, ended(err)
	}
	if stat.State == "Z" || stat.State == "X" {
		return r, errEnded
	}
	r.Known = judge.KnownRSS | judge.KnownThreads
	r.RSS = uint64(stat.ResidentMemory())
	r.Threads = stat.NumThreads

	u := used{stat.Starttime, uint64(stat.UTime) + uint64(stat.STime)}
	s.last[pid] = u
	if b, ok := before[pid]; ok && b.start == u.start && u.time >= b.time && since > 0 {
		r.Known |= judge.KnownCPU
		r.CPU = float64(u.time-b.time) / ticks / since.Seconds()
	}
	if r.FDs, err = p.FileDescriptorsLen(); err != nil {
		return r, ended(err)
	}
	r.Known |= judge.KnownFDs
	return r, nil
}

// ended finds errEnded in an error: the process ended before its directory was opened, or between that and the reading.
func ended(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return errEnded
	}
	return err
}

// together adds up what is known of all.
func together(each []judge.Resources) judge.Resources {
	if len(each) == 0 {
		return judge.Resources{}
	}
	sum := each[0]
	for _, r := range each[1:] {
		sum.Known &= r.Known
		sum.RSS += r.RSS
		sum.CPU += r.CPU
		sum.FDs += r.FDs
		sum.Threads += r.Threads
	}
	if sum.Known&judge.KnownRSS == 0 { // read from one file with the threads
		sum.RSS, sum.Threads = 0, 0
	}
	if sum.Known&judge.KnownCPU == 0 {
		sum.CPU = 0
	}
	if sum.Known&judge.KnownFDs == 0 {
		sum.FDs = 0
	}
	return sum
}
