// Package traffic shows, with clients that know exactly what they are owed, that every kind of HTTP traffic outlives a
// handover: bytes split anywhere, deadlines, HTTP/2, TLS, hijacked connections, clients that never leave. Outside its tests
// it is what the service under test has on top for that.
package traffic

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// Handler answers what [handovertest.HandlerFor] does, and:
//
//	/echo?ms=&n=  after that time, what net/http made of the request, n times; who answers stands in one header alone
//	/lines        "PID GENERATION", then numbered lines until the request's body ends, and their number as a trailer
//	/long?n=      n numbered lines of 64 bytes: a long answer of which every byte is known
//	/hijack       takes the connection over; sends back each line, with the PID before it
//	/read?ms=     "PID EXCEEDED MS": whether and when a read deadline that the handler set ended the body
//	/write?ms=    writes until a write deadline that the handler set ends it, and logs the same
//	/hooks        "PID BASE STATES": what the hooks of [Hook] know of the connection
//	/channel?ms=&n=&id=  after that time, a [Channel], n lines and a digest
func Handler(generation func() int) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", handovertest.HandlerFor(generation))
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { echo(w, r, generation()) })
	mux.HandleFunc("/lines", func(w http.ResponseWriter, r *http.Request) { streamLines(w, r, generation()) })
	mux.HandleFunc("/long", long)
	mux.HandleFunc("/hijack", hijack)
	mux.HandleFunc("/read", readDeadline)
	mux.HandleFunc("/write", writeDeadline)
	mux.HandleFunc("/hooks", hooked)
	mux.HandleFunc("/channel", func(w http.ResponseWriter, r *http.Request) { channel(w, r, generation()) })
	return mux
}

// processHeader is the one thing of an echo that depends on who answers.
const processHeader = "X-Process"

func echo(w http.ResponseWriter, r *http.Request, generation int) {
	body, err := io.ReadAll(r.Body)
	<-time.After(milliseconds(r)) // the client may close its end meanwhile, and is answered all the same
	w.Header().Set(processHeader, fmt.Sprint(os.Getpid(), generation))
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	for range max(n, 1) {
		fmt.Fprintf(w, "%s %s %s %s %d %v %v %v %d %x %v\n", r.Method, r.RequestURI, r.Proto, r.Host, r.ContentLength,
			r.TransferEncoding, r.Header, r.Trailer, len(body), sha256.Sum256(body), err)
	}
}

// linesInterval is the time between two of /lines.
const linesInterval = 10 * time.Millisecond

func streamLines(w http.ResponseWriter, r *http.Request, generation int) {
	response := http.NewResponseController(w)
	if err := response.EnableFullDuplex(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Trailer", "X-Lines")
	fmt.Fprintf(w, "%d %d\n", os.Getpid(), generation)
	response.Flush()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, r.Body)
	}()
	tick := time.NewTicker(linesInterval)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ended:
			w.Header().Set("X-Lines", strconv.Itoa(i))
			return
		case <-tick.C:
			fmt.Fprintln(w, i)
			response.Flush()
		}
	}
}

// Tunnel answers CONNECT, for which a ServeMux has no path, as /hijack does, and leaves the rest to next.
func Tunnel(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			hijack(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hijack(w http.ResponseWriter, r *http.Request) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Time{})
	if r.Method == http.MethodConnect {
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	} else {
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
	}
	for input := bufio.NewScanner(buffered); input.Scan(); {
		fmt.Fprintf(c, "%d %s\n", os.Getpid(), input.Text())
	}
}

func readDeadline(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	if err := http.NewResponseController(w).SetReadDeadline(began.Add(milliseconds(r))); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, err := io.Copy(io.Discard, r.Body)
	fmt.Fprintln(w, os.Getpid(), errors.Is(err, os.ErrDeadlineExceeded), time.Since(began).Milliseconds())
}

func writeDeadline(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	err := http.NewResponseController(w).SetWriteDeadline(began.Add(milliseconds(r)))
	for block := make([]byte, 64<<10); err == nil; {
		_, err = w.Write(block)
	}
	fmt.Fprintf(os.Stderr, "msg=%q pid=%d exceeded=%t ms=%d\n", "write ended", os.Getpid(),
		errors.Is(err, os.ErrDeadlineExceeded), time.Since(began).Milliseconds())
}

func milliseconds(r *http.Request) time.Duration {
	ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
	return time.Duration(ms) * time.Millisecond
}

// hookKey finds what the hooks know in a request's context.
type hookKey string

// states are those that ConnState told of one connection.
type states struct {
	mu  sync.Mutex
	all []string
}

// Hook sets ConnState, ConnContext and BaseContext of srv, as a program of its own may have them.
func Hook(srv *http.Server) {
	var conns sync.Map // net.Conn to *states
	srv.BaseContext = func(ln net.Listener) context.Context {
		return context.WithValue(context.Background(), hookKey("base"), ln.Addr().String())
	}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		known, _ := conns.LoadOrStore(c, &states{})
		return context.WithValue(ctx, hookKey("states"), known)
	}
	srv.ConnState = func(c net.Conn, s http.ConnState) {
		known, _ := conns.LoadOrStore(c, &states{})
		of := known.(*states)
		of.mu.Lock()
		defer of.mu.Unlock()
		of.all = append(of.all, s.String())
		if s == http.StateClosed || s == http.StateHijacked {
			conns.Delete(c)
		}
	}
}

func hooked(w http.ResponseWriter, r *http.Request) {
	base, _ := r.Context().Value(hookKey("base")).(string)
	known, ok := r.Context().Value(hookKey("states")).(*states)
	if !ok {
		http.Error(w, "no hooks", http.StatusNotFound)
		return
	}
	known.mu.Lock()
	defer known.mu.Unlock()
	fmt.Fprintln(w, os.Getpid(), base, strings.Join(known.all, ","))
}
