package handovergrpc_test

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
)

func TestGOAWAYPrecedesNotServing(t *testing.T) {
	s := prepare(t)
	s.attach(s.ln)
	s.run()
	var watchers []*wire
	const each = 50 // so many that it takes a while to tell them
	for range 10 {
		w := connectTo(t, s.ln.Addr(), each)
		for range each {
			w.until(http2.FrameData) // SERVING
		}
		watchers = append(watchers, w)
	}
	s.end()
	for _, w := range watchers {
		if first := w.until(http2.FrameData, http2.FrameGoAway); first != http2.FrameGoAway {
			t.Errorf("%v came before GOAWAY", first)
		}
		w.until(http2.FrameData) // NOT_SERVING
		w.close()
	}
	if err := s.ended(); err != nil {
		t.Error(err)
	}
}

// A listener whose queue is emptied gives connections when others are told to leave already.
func TestConnectionsThatComeLastAreServed(t *testing.T) {
	s := prepare(t)
	ln := &late{Listener: s.ln, draining: s.process.Draining(), closed: make(chan struct{})}
	s.attach(ln)
	s.run()
	early := connectTo(t, s.ln.Addr(), 1) // the service does not end before it
	early.until(http2.FrameSettings)
	here, there := net.Pipe()
	ln.last = there
	last := speak(t, here, 1)
	s.end()
	last.until(http2.FrameSettings)
	last.until(http2.FrameGoAway)
	early.close()
	last.close()
	if err := s.ended(); err != nil {
		t.Error(err)
	}
}

// late is a listener that gives one connection more when this generation drains.
type late struct {
	net.Listener
	draining <-chan struct{}
	last     net.Conn
	given    bool
	close    sync.Once
	closed   chan struct{}
}

func (l *late) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil || l.given {
		return c, err
	}
	<-l.draining
	select {
	case <-l.closed:
	case <-time.After(200 * time.Millisecond): // nobody closes it
	}
	l.given = true
	return l.last, nil
}

func (l *late) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// wire is a client that sees frames.
type wire struct {
	t      *testing.T
	conn   net.Conn
	framer *http2.Framer
	wrote  sync.WaitGroup
}

func connectTo(t *testing.T, address net.Addr, streams int) *wire {
	t.Helper()
	conn, err := net.Dial(address.Network(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	return speak(t, conn, streams)
}

// speak watches the health of the server at the other end of conn, by so many streams. It says nothing afterwards.
func speak(t *testing.T, conn net.Conn, streams int) *wire {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	w := &wire{t: t, conn: conn, framer: http2.NewFramer(nil, conn)}
	t.Cleanup(w.close)
	var request, header bytes.Buffer
	request.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&request, nil)
	err := framer.WriteSettings()
	encoder := hpack.NewEncoder(&header)
	for i := range uint32(streams) {
		header.Reset()
		for _, field := range [][2]string{
			{":method", "POST"}, {":scheme", "http"}, {":path", healthgrpc.Health_Watch_FullMethodName}, {":authority", "localhost"},
			{"content-type", "application/grpc"}, {"te", "trailers"},
		} {
			_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}) // to memory
		}
		err = errors.Join(err,
			framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: header.Bytes(), EndHeaders: true}),
			framer.WriteData(2*i+1, true, make([]byte, 5))) // an empty message
	}
	if err != nil {
		t.Fatal(err)
	}
	w.wrote.Go(func() { _, _ = conn.Write(request.Bytes()) }) // a pipe takes it only when the server reads
	return w
}

// until reads frames until one of these comes.
func (w *wire) until(kinds ...http2.FrameType) http2.FrameType {
	w.t.Helper()
	for {
		frame, err := w.framer.ReadFrame()
		if err != nil {
			w.t.Fatalf("wait for %v: %v", kinds, err)
		}
		if slices.Contains(kinds, frame.Header().Type) {
			return frame.Header().Type
		}
	}
}

func (w *wire) close() {
	_ = w.conn.Close()
	w.wrote.Wait()
}
