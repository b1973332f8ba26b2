package record

import (
	"bytes"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// moved has a connection go on as in another process: from bytes.
func moved(t testing.TB, b net.Conn, s State) *Conn {
	t.Helper()
	next := State{Raw: slices.Clone(s.Raw), Plain: slices.Clone(s.Plain), Owes: s.Owes}
	for _, h := range []struct {
		from *Half
		to   **Half
	}{{s.In, &next.In}, {s.Out, &next.Out}} {
		*h.to = half(t, h.from.Suite(), h.from.Secret(), h.from.Seq())
		h.from.Clear()
	}
	return Continue(b, next)
}

func detached(t testing.TB, c *Conn) State {
	t.Helper()
	s, err := c.Detach()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConnGoesOnWhereverItIsDetached(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		for _, cut := range []int{3, 21, 700, 1 << 16} {
			for _, room := range []int{3, 600, 1 << 15} {
				c, b, client := pair(t, id)
				b.end = os.ErrDeadlineExceeded
				// Ten records, of which some are key updates that want an answer.
				want, updates, seen := "", 0, heard{}
				for i := range 10 {
					content := strings.Repeat(string(rune('a'+i)), 40*i*i)
					want += content
					b.sent = append(b.sent, slices.Collect(slices.Chunk(client.data(content), cut))...)
					if i%3 == 1 {
						b.sent = append(b.sent, client.keyUpdate(updateRequested))
					}
				}
				var got []byte
				p := make([]byte, room)
				for len(got) < len(want) {
					for range 40 { // between two moves
						n, err := c.Read(p)
						got = append(got, p[:n]...)
						if err != nil {
							t.Fatal(err)
						}
						if len(got) == len(want) {
							break
						}
					}
					c = moved(t, b, detached(t, c))
					if _, err := c.Write([]byte(".")); err != nil {
						t.Fatal(err)
					}
					h := client.hear(b)
					updates += h.updates
					seen.data = append(seen.data, h.data...)
				}
				if string(got) != want || updates == 0 || len(bytes.Trim(seen.data, ".")) > 0 {
					t.Fatalf("cut to %d, read by %d: %d bytes of %d, %d answers", cut, room, len(got), len(want), updates)
				}
			}
		}
	})
}

func TestHalfARecordTravels(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	record := client.data("hello")
	b.end = os.ErrDeadlineExceeded
	for i := range record {
		b.sent = [][]byte{record[i : i+1]}
		if i == len(record)-1 {
			break
		}
		if _, err := c.Read(make([]byte, 600)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		s := detached(t, c)
		if !bytes.Equal(s.Raw, record[:i+1]) || s.Plain != nil {
			t.Fatalf("%x travels, and %q", s.Raw, s.Plain)
		}
		c = moved(t, b, s)
	}
	if got, err := reads(c, 600); got != "hello" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestAnswerToAKeyUpdateIsOwedAfterAMove(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	b.sent, b.end = [][]byte{client.keyUpdate(updateRequested)}, os.ErrDeadlineExceeded
	if _, err := c.Read(make([]byte, 600)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	for range 3 {
		s := detached(t, c)
		if !s.Owes || b.writes > 0 {
			t.Fatalf("owed: %t, after %d writes", s.Owes, b.writes)
		}
		c = moved(t, b, s)
	}
	if _, err := c.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if h := client.hear(b); h.updates != 1 || string(h.data) != "answer" {
		t.Errorf("the client gets %+v", h)
	}
	if s := detached(t, c); s.Owes {
		t.Error("it is owed again")
	}
}

func TestDetachedConnHasNothingLeft(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	b.sent = [][]byte{slices.Concat(client.data("first"), client.data("second"), client.data("third"))}
	if _, err := c.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	memory := c.in.buffer
	s := detached(t, c)
	if string(s.Plain) != "st" || len(s.Raw) != 2*overhead+len("secondthird") || s.In.Seq() != 1 || s.Out.Seq() != 0 {
		t.Errorf("%q, %d bytes, numbers %d and %d", s.Plain, len(s.Raw), s.In.Seq(), s.Out.Seq())
	}
	if c.in.half != nil || c.out.half != nil || c.in.buffer != nil || c.in.raw != nil || c.in.plain != nil {
		t.Error("something is left")
	}
	if len(bytes.Trim(memory.bytes, "\x00")) > 0 {
		t.Error("the buffer was not cleared")
	}
	ends(t, c, net.ErrClosed)
	for what, err := range map[string]error{"Close": c.Close(), "CloseWrite": c.CloseWrite(), "SetDeadline": c.SetDeadline(time.Now())} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if b.closed || b.writes > 0 || !b.deadline.IsZero() {
		t.Error("the connection below was touched")
	}
	if s.In.Secret() == nil || s.Out.Secret() == nil {
		t.Error("what was given away was cleared")
	}
}

func TestConnInMidMessageStaysAndGoesOn(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	b.sent, b.end = [][]byte{client.seal(typeHandshake, 24, 0, 0)}, os.ErrDeadlineExceeded
	if _, err := c.Read(make([]byte, 600)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if _, err := c.Detach(); !errors.Is(err, errHalfMessage) {
		t.Fatal(err)
	}
	b.sent = [][]byte{client.seal(typeHandshake, 1, 0)}
	client.follow(client.out)
	b.sent = append(b.sent, client.data("hello"))
	if got, err := reads(c, 600); got != "hello" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%q, %v", got, err)
	}
	detached(t, c)
}

func TestDetachDuringAReadFailsAndTheReadGoesOn(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	id := allSuites[0]
	from := secret(t, id, 'c')
	begun := &announced{Conn: ours, reads: make(chan struct{}, 10)}
	c := NewConn(begun, half(t, id, from, 0), half(t, id, secret(t, id, 's'), 0))
	client := &client{t: t, out: half(t, id, from, 0)}
	read := make(chan string, 1)
	go func() {
		p := make([]byte, 600)
		n, _ := c.Read(p)
		read <- string(p[:n])
	}()
	<-begun.reads
	if _, err := c.Detach(); !errors.Is(err, errReading) || c.Pending() {
		t.Errorf("Detach: %v, pending %t", err, c.Pending())
	}
	if _, err := theirs.Write(client.data("hello")); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "hello" {
		t.Errorf("read %q", got)
	}
	detached(t, c)
	if err := ours.Close(); err != nil {
		t.Error(err)
	}
}

// announced tells when a read begins.
type announced struct {
	net.Conn
	reads chan struct{}
}

func (a *announced) Read(p []byte) (int, error) {
	a.reads <- struct{}{}
	return a.Conn.Read(p)
}

func TestDetachAwaitsTheWriteThatIsUnderWay(t *testing.T) {
	c, under := blocking(t)
	detaching := make(chan error, 1)
	go func() {
		_, err := c.Detach()
		detaching <- err
	}()
	select {
	case err := <-detaching:
		t.Fatalf("detached in the midst of a write: %v", err)
	case <-under:
		t.Fatal("the write is over")
	default:
	}
	if err := c.SetWriteDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	// The client has got a part of a record: nobody can go on.
	if err := <-under; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write: %v", err)
	}
	if err := <-detaching; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Detach: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
