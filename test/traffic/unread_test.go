//go:build linux

package traffic

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

const (
	megabyte = 1 << 20

	// fits is how many lines of /long enter the kernel's buffers at once; beyond are too many, as net.ipv4.tcp_wmem lets a socket keep
	// 4 MiB, and the receiver, by tcp_rmem, much less until its program reads.
	fits   = megabyte / longLine
	beyond = 6 * megabyte / longLine
)

// TestMegabyteUnreadAtFinalIsReadToTheEnd by a client that takes its time, whether its answer is still being written when the service is
// handed over, or waits in the kernel as a whole.
func TestMegabyteUnreadAtFinalIsReadToTheEnd(t *testing.T) {
	t.Parallel()
	s, secure, roots := startTLS(t)
	first := s.PID()
	written, writing, last := s.dial(), s.dial(), s.dial()
	writingTLS := dialTLS(t, secure, roots, "http/1.1")
	written.Ask(fmt.Sprintf("/long?n=%d", fits))
	last.Send("GET /long?n=%d HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n", fits)
	for _, c := range []conn{writing, writingTLS} {
		c.Ask(fmt.Sprintf("/long?n=%d", beyond))
	}
	for _, c := range []conn{written, last, writing, writingTLS} {
		c.holds(megabyte)
	}
	second := s.Next()
	for _, c := range []conn{written, last, writing, writingTLS} {
		t.Logf("%d bytes are unread", c.holds(megabyte))
	}

	writing.readsLong(beyond)
	s.follows(writing, second)
	writingTLS.readsLong(beyond)
	writingTLS.Ask("/?id=next")
	if resp, body := writingTLS.Response(); !resp.Close || !strings.HasPrefix(body, fmt.Sprintf("next %d ", first)) {
		t.Errorf("then answered %q, Connection: close %t; want process %d and to be told to leave", body, resp.Close, first)
	}
	writingTLS.Close()
	s.AwaitExit(first) // with nothing read of the other two
	for _, c := range []conn{written, last} {
		c.holds(megabyte)
		c.readsLong(fits)
	}
	written.IsOf(second)
	last.endsUnbroken()
}

// TestMegabyteUnreadOnHTTP2OutlivesItsServer, who has said good-bye and has nothing left to write: the client says as it reads that more
// may come. Guard: conn.Close, "go c.linger()"; without it that is answered with a reset, and what had not arrived is gone.
func TestMegabyteUnreadOnHTTP2OutlivesItsServer(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"unencrypted", "tls", "wrapped"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var s *service
			var plain, c conn
			if kind == "unencrypted" {
				s = start(t, "H2C=1")
				plain = s.dial()
				c = plain
			} else {
				secure, address, roots := startSecure(t, kind)
				s, c = secure, dialTLS(t, address, roots, "h2")
			}
			first := s.PID()
			stream := openLong(c, fits)
			c.holds(megabyte)
			s.Next()
			until(t, "the server does not end its half", func() bool {
				_, its := c.Sockets()
				return its.State == stateFinWait1
			})
			t.Logf("%d bytes are unread", c.holds(megabyte))
			stream.readsLong(fits)
			s.AwaitExit(first)
			stream.endsUnbroken()
		})
	}
}

// TestIdleHTTP2ConnectionThatItsClientForgetsEndsSoon: one of a pool whose client does not look at it. It has been told, and has
// everything.
func TestIdleHTTP2ConnectionThatItsClientForgetsEndsSoon(t *testing.T) {
	t.Parallel()
	s := start(t, "H2C=1")
	c := beginHTTP2(s.dial())
	c.awaits(frameSettings)
	s.Replaced()
	c.awaits(frameGoAway)
}

// TestMegabyteUnreadAtTheDrainDeadlineIsDelivered where it had been written by then: the connection is cut, and its process gone, but
// what the kernel has is the client's. Of answers that were still being written the client sees that they are cut.
func TestMegabyteUnreadAtTheDrainDeadlineIsDelivered(t *testing.T) {
	t.Parallel()
	const drain = 9 * time.Second
	s, secure, roots := startTLS(t, "HANDOVER_DRAIN_TIMEOUT="+drain.String())
	first := s.PID()
	written, echo := dialTLS(t, secure, roots, "http/1.1"), s.dial()
	inTime, late, lateTLS := s.dial(), s.dial(), dialTLS(t, secure, roots, "http/1.1")
	written.Ask(fmt.Sprintf("/long?n=%d", fits))
	for _, c := range []conn{inTime, late, lateTLS} {
		c.Ask(fmt.Sprintf("/long?n=%d", beyond))
	}
	echo.hijack(first)
	line := strings.Repeat("x", 1023)
	const lines = megabyte / 1024
	echo.Send("%s", strings.Repeat(line+"\n", lines))
	for _, c := range []conn{written, echo, inTime, late, lateTLS} {
		c.holds(megabyte)
	}
	cut := s.WatchFor(`msg="drain deadline: connections closed"`)
	began := time.Now()
	second := s.Next()

	inTime.readsLong(beyond)
	s.follows(inTime, second)
	if took := time.Since(began); took > drain {
		t.Fatalf("read in %s; want it before the deadline", took)
	}
	if got := s.Line(cut, "the cut is not logged"); !strings.Contains(got, " connections=4 http1_active=1 tls_active=1 tls_idle=1 hijacked=1 reason=") {
		t.Errorf("logged %q", got)
	}
	s.AwaitExit(first)
	t.Logf("%d and %d bytes are unread", written.holds(megabyte), echo.holds(megabyte))
	written.readsLong(fits)
	written.endsUnbroken()
	for range lines {
		echo.hears(line, first)
	}
	echo.endsUnbroken()
	for _, c := range []conn{late, lateTLS} {
		resp := c.Head()
		if n, err := readLong(resp.Body, beyond); err == nil || n < megabyte || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of an answer that was cut, %v; want a megabyte, and to see that it was cut", n, err)
		}
	}
}

// readsLong reads the answer to /long: its first megabyte slowly, and then the rest.
func (c conn) readsLong(lines int) {
	c.T.Helper()
	resp := c.Head()
	slowly := &slowReader{from: resp.Body, left: megabyte}
	if n, err := readLong(slowly, lines); err != nil || n != lines*longLine || resp.ContentLength != int64(n) {
		c.T.Fatalf("read %d bytes of %d: %v", n, lines*longLine, err)
	}
}

// endsUnbroken waits for the end, before which nothing more comes. Over TLS a connection that was cut ends without its farewell.
func (c conn) endsUnbroken() {
	c.T.Helper()
	c.Hearing()
	rest, err := io.ReadAll(c.Reader)
	if _, secure := c.Conn.Conn.(*tls.Conn); secure && errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if len(rest) > 0 || err != nil {
		c.T.Errorf("behind the answer %q, %v", rest, err)
	}
}

// slowReader takes its time for the first bytes.
type slowReader struct {
	from io.Reader
	left int
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.left > 0 {
		p = p[:min(len(p), 16<<10)]
		<-time.After(5 * time.Millisecond)
	}
	n, err := r.from.Read(p)
	r.left -= n
	return n, err
}

// longStream reads the answer to /long on an HTTP/2 connection that has nothing else.
type longStream struct {
	http2Conn
	left  int // of the frame
	ended bool
}

// openLong asks for an answer of which the client would take 16 MiB before it says anything.
func openLong(c conn, lines int) *longStream {
	c.T.Helper()
	const (
		settings = "\x00\x00\x06\x04\x00\x00\x00\x00\x00" + "\x00\x04\x01\x00\x00\x00" // INITIAL_WINDOW_SIZE
		more     = "\x00\x00\x04\x08\x00\x00\x00\x00\x00" + "\x01\x00\x00\x00"         // WINDOW_UPDATE
	)
	c.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + more)
	s := &longStream{http2Conn: http2Conn{c}}
	s.ask(1, fmt.Sprintf("/long?n=%d", lines))
	return s
}

func (s *longStream) readsLong(lines int) {
	s.T.Helper()
	s.SetDeadline(time.Now().Add(patience))
	if n, err := readLong(&slowReader{from: s, left: megabyte}, lines); err != nil {
		s.T.Fatalf("read %d bytes of %d: %v", n, lines*longLine, err)
	}
}

// Read implements io.Reader for what DATA frames bring. For each that is read the client says that as much may come again.
func (s *longStream) Read(p []byte) (int, error) {
	for s.left == 0 {
		if s.ended {
			return 0, io.EOF
		}
		var header [9]byte
		if _, err := io.ReadFull(s.Reader, header[:]); err != nil {
			return 0, err
		}
		length := int(binary.BigEndian.Uint32(append([]byte{0}, header[:3]...)))
		if header[3] != frameData {
			if _, err := io.CopyN(io.Discard, s.Reader, int64(length)); err != nil {
				return 0, err
			}
			continue
		}
		const endStream = 1
		s.left, s.ended = length, header[4]&endStream != 0
		if _, err := fmt.Fprintf(s.Conn, "\x00\x00\x04\x08\x00\x00\x00\x00\x00%s", binary.BigEndian.AppendUint32(nil, uint32(length))); err != nil && length > 0 {
			return 0, err
		}
	}
	n, err := s.Reader.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// endsUnbroken reads on to the end.
func (s *longStream) endsUnbroken() {
	s.T.Helper()
	s.Hearing()
	if _, err := io.Copy(io.Discard, s.Reader); err != nil {
		s.T.Errorf("behind the answer: %v", err)
	}
}

// holds waits until so much of what the service has written waits in the kernel, on either side, and returns how much.
func (c conn) holds(n int) (unread int) {
	c.T.Helper()
	until(c.T, fmt.Sprintf("%d bytes do not come", n), func() bool { unread = c.unread(); return unread >= n })
	return unread
}

func (c conn) unread() int {
	c.T.Helper()
	own, its := c.Sockets()
	return its.Sending + own.Receiving
}

// stateFinWait1 is TCP_FIN_WAIT1 in include/net/tcp_states.h.
const stateFinWait1 = 4
