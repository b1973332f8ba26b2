package handover

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// counting serves handler with its requests counted. end returns when handlers have, of which an answer over HTTP/2 says nothing.
func counting(t testing.TB, handler http.Handler, http2 bool) (c *counts, s *httptest.Server, end func()) {
	t.Helper()
	c = &counts{}
	c.begin()
	var handlers sync.WaitGroup
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		c.serve(handler, w, r)
	}))
	s.Config.ErrorLog = nil
	if http2 {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return c, s, func() {
		s.Close()
		handlers.Wait()
	}
}

func TestCountedWriterHasEveryMethodOfItsServers(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		methods := make(chan http.ResponseWriter, 1)
		_, s, _ := counting(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, hijacks := w.(http.Hijacker)
			_, reads := w.(io.ReaderFrom)
			_, pushes := w.(http.Pusher)
			_, writes := w.(io.StringWriter)
			_, flushes := w.(http.Flusher)
			_, notifies := w.(http.CloseNotifier) //nolint:staticcheck // SA1019: programs use it still
			if hijacks == http2 || reads == http2 || pushes != http2 || !writes || !flushes || !notifies {
				t.Errorf("HTTP/2 %t: %T: Hijack %t, ReadFrom %t, Push %t", http2, w, hijacks, reads, pushes)
			}
			control := http.NewResponseController(w)
			if err := errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{}), control.EnableFullDuplex(), control.Flush()); err != nil {
				t.Errorf("HTTP/2 %t: %v", http2, err)
			}
			methods <- w.(interface{ Unwrap() http.ResponseWriter }).Unwrap()
		}), http2)
		answer, err := s.Client().Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if (answer.ProtoMajor == 2) != http2 {
			t.Errorf("the answer is %s", answer.Proto)
		}
		switch w := (<-methods).(type) {
		case writer1, writer2:
		default:
			t.Errorf("%T is not counted with its status", w)
		}
	}
}

func TestRequestsAreCountedByHowTheyEnd(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		c, s, end := counting(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/panics":
				panic(http.ErrAbortHandler)
			case "/unwell":
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(http.StatusServiceUnavailable)
				w.WriteHeader(http.StatusOK) // which net/http ignores
			case "/left":
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
				<-r.Context().Done()
				panic(http.ErrAbortHandler) // as httputil.ReverseProxy does when its client goes away
			case "/missing":
				http.NotFound(w, r)
			case "/hijacked":
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.Close()
			default:
				_, _ = io.WriteString(w, "well")
			}
		}), http2)
		s.Config.ErrorLog = nil
		for _, path := range []string{"/", "/panics", "/unwell", "/missing", "/"} {
			if answer, err := s.Client().Get(s.URL + path); err == nil {
				_ = answer.Body.Close()
			}
		}
		ctx, leave := context.WithCancel(t.Context())
		left, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/left", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.Client().Do(left)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		_ = answer.Body.Close()
		want := uint64(6)
		inBuckets := want
		if !http2 {
			if _, err := s.Client().Get(s.URL + "/hijacked"); err == nil {
				t.Error("a hijacked connection was answered")
			}
			want++
		}
		end()
		n := c.figures()
		if n.Total != want || n.Errors != 2 || n.InFlight != 0 {
			t.Errorf("HTTP/2 %t: %+v, want %d, 2 of them errors", http2, n, want)
		}
		for _, b := range n.Latency {
			inBuckets -= b.Count
		}
		if inBuckets != 0 {
			t.Errorf("HTTP/2 %t: %d are in no bucket: %+v", http2, inBuckets, n.Latency)
		}
	}
}

func TestUncountedServiceCountsNothing(t *testing.T) {
	c := &counts{}
	if c.on() || c.figures() != nil {
		t.Error("it counts")
	}
}

// plain1 is a writer of HTTP/1.1 that does nothing.
type plain1 struct {
	writer1
	header http.Header
}

func (p *plain1) Header() http.Header         { return p.header }
func (p *plain1) Write(b []byte) (int, error) { return len(b), nil }
func (p *plain1) WriteHeader(int)             {}

func TestCountingAllocatesNothing(t *testing.T) {
	c := &counts{}
	c.begin()
	var w http.ResponseWriter = &plain1{header: http.Header{}}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if n := testing.AllocsPerRun(1000, func() { c.serve(h, w, r) }); n != 0 {
		t.Errorf("%g allocations a request", n)
	}
}

// BenchmarkRequest answers requests on one connection, with and without counting.
func BenchmarkRequest(b *testing.B) {
	for _, name := range []string{"uncounted", "counted"} {
		b.Run(name, func(b *testing.B) {
			c := &counts{}
			if name == "counted" {
				c.begin()
			}
			handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.on() {
					c.serve(handler, w, r)
					return
				}
				handler.ServeHTTP(w, r)
			}), ReadHeaderTimeout: time.Minute}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = srv.Serve(ln)
			}()
			defer func() {
				_ = srv.Shutdown(context.Background())
				<-done
			}()
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			request, answer := []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				n, err := conn.Read(answer)
				if err != nil || !strings.HasSuffix(string(answer[:n]), "\r\n\r\n") {
					b.Fatalf("%q, %v", answer[:n], err)
				}
			}
		})
	}
}
