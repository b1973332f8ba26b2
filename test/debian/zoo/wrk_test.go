//go:build debian

package zoo

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const wrkConnections = 6

// wrk keeps its connections as long as it runs: it would replace one that ends, but these are the same at the end.
type wrk struct {
	t     *testing.T
	z     *cage
	cmd   *exec.Cmd
	said  bytes.Buffer
	ended chan error
	has   []string // addresses of its ends of the connections
	over  bool
}

// wrk starts one, and waits until it is connected.
func (z *cage) wrk() *wrk {
	z.t.Helper()
	w := &wrk{t: z.t, z: z, ended: make(chan error, 1)}
	w.cmd = exec.CommandContext(z.ctx, "wrk", "-t", "1", "-c", strconv.Itoa(wrkConnections), "-d", "1h", "--timeout", "60s", "-s", "testdata/pace.lua", "http://"+z.http)
	w.cmd.Stdout, w.cmd.Stderr = &w.said, &w.said
	if err := w.cmd.Start(); err != nil {
		z.t.Fatal(err)
	}
	go func() { w.ended <- w.cmd.Wait() }()
	z.t.Cleanup(func() {
		if !w.over {
			_ = w.cmd.Process.Kill()
			<-w.ended
		}
	})
	z.Eventually("wrk connected", func() (any, bool) {
		w.has = w.connections()
		return w.has, len(w.has) == wrkConnections
	})
	return w
}

// connections are those that it has to the zoo.
func (w *wrk) connections() []string {
	w.t.Helper()
	clients := clientsOf(w.t, w.z.http)
	held := held(w.t, w.cmd.Process.Pid)
	return slices.Sorted(func(yield func(string) bool) {
		for address, inode := range clients {
			if held[inode] && !yield(address) {
				return
			}
		}
	})
}

var (
	whole  = regexp.MustCompile(`(?m)^ +(\d+) requests in `)
	faulty = regexp.MustCompile(`Socket errors|Non-2xx|wrong answer`)
)

// stop ends it by SIGINT, upon which it reports. Nothing may have failed, and no connection have been replaced.
func (w *wrk) stop() {
	w.t.Helper()
	if has := w.connections(); !slices.Equal(has, w.has) {
		w.t.Errorf("wrk has connections %v, and began with %v", has, w.has)
	}
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		w.t.Fatal(err)
	}
	stuck := time.AfterFunc(soon, func() { _ = w.cmd.Process.Kill() })
	err := <-w.ended
	stuck.Stop()
	w.over = true
	out := w.said.String()
	found := whole.FindStringSubmatch(out)
	if err != nil || found == nil || faulty.MatchString(out) {
		w.t.Errorf("wrk: %v\n%s", err, out)
		return
	}
	w.t.Logf("%-24s %2d connections, the same from beginning to end, %s answers", "wrk", len(w.has), strings.TrimSpace(found[1]))
}
