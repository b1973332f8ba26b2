package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/host/supervise"
)

// Logs is the output of a service: the last lines of all its processes' files, in the order in which the processes began, and to follow
// what comes in any of them, until ctx ends. Output that goes to systemd's journal is not here.
func (a *agent) Logs(ctx context.Context, name string, tail int, follow bool) (io.ReadCloser, error) {
	if err := a.with(ctx, name, func(*core, *kept) error { return nil }); err != nil {
		return nil, err
	}
	l := &logs{dir: a.outputOf(name), at: map[string]int64{}}
	if err := l.begin(tail); err != nil {
		return nil, fmt.Errorf("read the output of service %q: %w", name, err)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(l.copy(ctx, w, follow)) }()
	return r, nil
}

// logs reads the files of a directory from some point on.
type logs struct {
	dir string
	at  map[string]int64 // how far each was read
}

func (l *logs) files() ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".log") && e.Name() != "keeper.log" {
			names = append(names, filepath.Join(l.dir, e.Name()))
		}
	}
	slices.Sort(names) // they begin with the time
	return names, err
}

// begin finds where the last lines begin.
func (l *logs) begin(tail int) error {
	names, err := l.files()
	for _, name := range slices.Backward(names) {
		f, ferr := supervise.OpenOutput(name, os.O_RDONLY)
		if os.IsNotExist(ferr) { // removed since, as the oldest
			continue
		}
		if ferr != nil {
			return ferr
		}
		begin, lines, ferr := lastLines(f, tail)
		_ = f.Close()
		if ferr != nil {
			return ferr
		}
		l.at[name] = begin
		tail -= lines
	}
	return err
}

// lastLines is where the last n lines of a file begin, and how many there are.
func lastLines(f *os.File, n int) (begin int64, lines int, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	if n <= 0 {
		return info.Size(), 0, nil
	}
	const step = 64 << 10
	end := info.Size()
	block := make([]byte, step)
	for at := end; at > 0; {
		from := max(0, at-step)
		b := block[:at-from]
		if _, err := f.ReadAt(b, from); err != nil && err != io.EOF {
			return 0, 0, err
		}
		for i := len(b) - 1; i >= 0; i-- {
			if b[i] == 0 { // a hole: what was there has been moved on
				return from + int64(i) + 1, lines, nil
			}
			if b[i] != '\n' || from+int64(i) == end-1 {
				continue
			}
			if lines++; lines == n {
				return from + int64(i) + 1, lines, nil
			}
		}
		at = from
	}
	return 0, lines + 1, nil
}

// followInterval is how often files are looked at for more.
const followInterval = 100 * time.Millisecond

// copy writes what there is, and to follow what comes.
func (l *logs) copy(ctx context.Context, w io.Writer, follow bool) error {
	look := time.NewTicker(followInterval)
	defer look.Stop()
	for {
		names, err := l.files()
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := l.more(w, name, follow); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// more writes what is new in a file, in whole lines as long as more may come.
func (l *logs) more(w io.Writer, name string, whole bool) error {
	f, err := supervise.OpenOutput(name, os.O_RDONLY)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := f.ReadAt(b, l.at[name])
		if err != nil && err != io.EOF {
			return err
		}
		part := b[:n]
		if whole && n < len(b) {
			part = part[:bytes.LastIndexByte(part, '\n')+1]
		}
		if len(part) == 0 {
			return nil
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
		l.at[name] += int64(len(part))
	}
}
