//go:build linux

package traffic

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// http2Load is a client with requests in flight all the time.
type http2Load struct {
	client *http.Client
	base   string
	ctx    context.Context
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	byPID  map[string]int
	conns  map[string]string // by PID, of the connection it answered on last
	answer chan struct{}     // has room for one
	lost   []error
}

// losesNothing upgrades the service five times while requests of every size are in flight on HTTP/2.
func (s *service) losesNothing(transport *http.Transport, base string) {
	s.t.Helper()
	l := &http2Load{
		client: &http.Client{Transport: transport, Timeout: patience}, base: base,
		byPID: map[string]int{}, conns: map[string]string{}, answer: make(chan struct{}, 1),
	}
	l.ctx, l.stop = context.WithCancel(s.t.Context())
	for worker := range 6 {
		l.done.Go(func() { l.work(worker) })
	}
	finish := sync.OnceFunc(func() {
		l.stop()
		l.done.Wait()
		transport.CloseIdleConnections()
	})
	defer finish()
	var pids []int
	pid := s.PID()
	for range 5 {
		s.await(l, pid)
		long := s.openLines(l.client, base)
		pids = append(pids, pid)
		pid = s.Next()
		long.wants(3) // after GOAWAY
		long.finish()
	}
	s.await(l, pid)
	finish()
	for _, old := range pids {
		s.AwaitExit(old)
	}
	used := map[string]string{}
	for pid, conn := range l.conns {
		if other, ok := used[conn]; ok {
			s.t.Errorf("processes %s and %s answered on one connection", other, pid)
		}
		used[conn] = pid
	}
	for _, err := range l.lost {
		s.t.Errorf("lost: %v", err)
	}
	s.t.Logf("answers by process: %v", l.byPID)
}

func (l *http2Load) work(worker int) {
	for n := 0; l.ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%d-%d", worker, n)
		path, body := "/?id="+id, ""
		switch worker % 3 {
		case 1:
			path = "/slow?ms=50&id=" + id
		case 2:
			path, body = "/upload?id="+id, strings.Repeat(id, 5000)
		}
		if err := l.ask(path, body, id); err != nil {
			l.mu.Lock()
			l.lost = append(l.lost, err)
			l.mu.Unlock()
			return
		}
	}
}

func (l *http2Load) ask(path, body, id string) error {
	var conn string
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { conn = info.Conn.LocalAddr().String() }, // the last, if it is asked again
	})
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, l.base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	words := strings.Fields(string(answer))
	if err != nil || resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 || len(words) < 3 || words[0] != id {
		return fmt.Errorf("%s: answered %s %s %q, %w", path, resp.Proto, resp.Status, answer, err)
	}
	l.mu.Lock()
	l.byPID[words[1]]++
	l.conns[words[1]] = conn
	l.mu.Unlock()
	select {
	case l.answer <- struct{}{}:
	default:
	}
	return nil
}

// await waits until some answers by that process have come.
func (s *service) await(l *http2Load, pid int) {
	s.t.Helper()
	const some = 10
	for {
		l.mu.Lock()
		n := l.byPID[fmt.Sprint(pid)]
		l.mu.Unlock()
		if n >= some {
			return
		}
		select {
		case <-l.answer:
		case <-time.After(patience):
			s.t.Fatalf("process %d gave %d answers; want %d. Lost: %v", pid, n, some, l.lost)
		}
	}
}
