//go:build linux

package traffic

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// request is what a client sends, with where its head ends.
type request struct {
	method string
	bytes  string
	head   int
	expect bool // "100 Continue" is owed once the head was sent
}

// script is all that one client does on one connection.
type script struct {
	requests []request
	cuts     []int // where one write ends and the next begins
	await    []int // of them, those at which everything owed is awaited
	switchAt int   // the place in what is sent at which the client waits for moment; -1: it goes on as if nothing was
	moment   int
}

// String is for rapid's report.
func (s script) String() string {
	var all []string
	for _, r := range s.requests {
		all = append(all, fmt.Sprintf("%.150q", r.bytes))
	}
	return fmt.Sprintf("{%s cut at %d, answers awaited at %d, switch %d at %d}", strings.Join(all, " "), s.cuts, s.await, s.moment, s.switchAt)
}

func (s script) bytes() (all string) {
	for _, r := range s.requests {
		all += r.bytes
	}
	return all
}

// owed is how many heads of answers are due once sent bytes were sent.
func (s script) owed(sent int) (n int) {
	for _, r := range s.requests {
		if r.expect && sent >= r.head {
			n++
		}
		if sent >= len(r.bytes) {
			n++
		}
		if sent -= len(r.bytes); sent < 0 {
			break
		}
	}
	return n
}

// drawScript draws one to four requests. One that ends the connection comes last.
func drawScript(t *rapid.T) script {
	var s script
	last := rapid.IntRange(0, 3).Draw(t, "requests before the last")
	for i := range last + 1 {
		r := drawRequest(t, i, i == last)
		// Some old clients send an empty line after a POST: net/http has patience with it (RFC 9112, section 2.2).
		if i > 0 && s.requests[i-1].method == "POST" && rapid.Bool().Draw(t, "empty line") {
			r.bytes, r.head = "\r\n"+r.bytes, r.head+2
		}
		s.requests = append(s.requests, r)
	}
	length := len(s.bytes())
	place := rapid.IntRange(0, length-1)
	if rapid.Bool().Draw(t, "between requests") { // else hardly ever, and there a connection can migrate
		ends, at := []int{0}, 0
		for _, r := range s.requests[:len(s.requests)-1] {
			at += len(r.bytes)
			ends = append(ends, at)
		}
		place = rapid.SampledFrom(ends)
	}
	s.cuts = rapid.SliceOfN(rapid.IntRange(0, length-1), 0, 4).Draw(t, "cuts")
	s.switchAt, s.moment = -1, rapid.IntRange(-1, len(moments)-1).Draw(t, "moment")
	if s.moment >= 0 {
		s.switchAt = place.Draw(t, "switch")
		s.cuts = append(s.cuts, s.switchAt)
	}
	slices.Sort(s.cuts)
	for _, cut := range s.cuts {
		if rapid.Bool().Draw(t, "await answers") {
			s.await = append(s.await, cut)
		}
	}
	return s
}

// drawRequest draws one request. The last one ends the connection.
func drawRequest(t *rapid.T, number int, last bool) request {
	target := fmt.Sprintf("/echo?id=%d&n=%d&ms=%d", number,
		rapid.SampledFrom([]int{1, 1, 100}).Draw(t, "n"), rapid.SampledFrom([]int{0, 0, 5, 100}).Draw(t, "ms"))
	r := request{method: "GET"}
	fields := "Host: service\r\nX-Number: " + strconv.Itoa(number) + "\r\n"
	if last {
		fields += "Connection: close\r\n"
	}
	body := func() string {
		return strings.Repeat("0123456789abcde\n", 1000)[:rapid.SampledFrom([]int{1, 17, 3000, 4096, 9000}).Draw(t, "body")]
	}
	kind := rapid.SampledFrom([]string{"GET", "HEAD", "POST", "chunked", "HTTP/1.0", "malformed"}).Draw(t, "kind")
	switch kind {
	case "HEAD":
		r.method = "HEAD"
		fallthrough
	case "GET":
		r.bytes = fmt.Sprintf("%s %s HTTP/1.1\r\n%s\r\n", r.method, target, fields)
		r.head = len(r.bytes)
	case "malformed": // is answered, and closed
		if last {
			r.bytes = "GET / HTTP/1.1\r\nno field\r\n\r\n"
		} else {
			r.bytes = fmt.Sprintf("GET %s HTTP/1.1\r\n%sFolded: a\r\n b\r\n\r\n", target, fields)
		}
		r.head = len(r.bytes)
	case "HTTP/1.0":
		target = fmt.Sprintf("/echo?id=%d", number) // short enough for its answer to have a length
		if !last {
			fields += "Connection: keep-alive\r\n"
		} else if rapid.Bool().Draw(t, "without Connection") {
			fields = "Host: service\r\n"
		}
		r.bytes = fmt.Sprintf("GET %s HTTP/1.0\r\n%s\r\n", target, fields)
		r.head = len(r.bytes)
	default:
		r.method = "POST"
		if r.expect = rapid.Bool().Draw(t, "expect"); r.expect {
			fields += "Expect: 100-continue\r\n"
		}
		content := body()
		if kind == "chunked" {
			fields += "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n"
			size := rapid.SampledFrom([]int{7, 1024, 5000}).Draw(t, "chunk")
			chunked := ""
			for chunk := range slices.Chunk([]byte(content), max(size, len(content)/20)) {
				chunked += fmt.Sprintf("%x\r\n%s\r\n", len(chunk), chunk)
			}
			content = chunked + "0\r\nX-Sum: " + strconv.Itoa(len(content)) + "\r\n\r\n"
		} else {
			fields += "Content-Length: " + strconv.Itoa(len(content)) + "\r\n"
		}
		head := fmt.Sprintf("POST %s HTTP/1.1\r\n%s\r\n", target, fields)
		r.head, r.bytes = len(head), head+content
	}
	return r
}

// play sends the script to address and returns every byte of the answers. atSwitch is called where the script wants it.
func (s script) play(ctx context.Context, address string, atSwitch func(moment int) error) ([]byte, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	var answers bytes.Buffer
	heads, ended := make(chan struct{}, 2*len(s.requests)), make(chan error, 1)
	go func() { ended <- s.read(io.TeeReader(c, &answers), heads) }()
	if err := s.write(c, heads, atSwitch); err != nil {
		c.Close()
		<-ended
		return nil, err
	}
	err = <-ended
	return answers.Bytes(), err
}

func (s script) write(c net.Conn, heads <-chan struct{}, atSwitch func(moment int) error) error {
	all, sent, seen, switched := s.bytes(), 0, 0, false
	for _, cut := range append(slices.Clone(s.cuts), len(all)) {
		// A server that has closed too early shows in its answers.
		if _, err := io.WriteString(c, all[sent:cut]); err != nil {
			return nil
		}
		sent = cut
		if slices.Contains(s.await, cut) {
			for ; seen < s.owed(sent); seen++ {
				if _, ok := <-heads; !ok {
					return nil
				}
			}
		}
		if cut == s.switchAt && !switched && atSwitch != nil {
			switched = true
			if err := atSwitch(s.moment); err != nil {
				return err
			}
		}
	}
	return nil
}

// read reads the answers to the end of the connection, and tells of each, and of each "100 Continue". What it cannot parse
// it reads all the same.
func (s script) read(from io.Reader, heads chan<- struct{}) error {
	defer close(heads)
	answers := bufio.NewReader(from)
	for _, r := range s.requests {
		for interim := true; interim; {
			resp, err := http.ReadResponse(answers, &http.Request{Method: r.method})
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
			}
			if err != nil {
				return finish(answers)
			}
			heads <- struct{}{}
			interim = resp.StatusCode == http.StatusContinue
		}
	}
	return finish(answers)
}

// finish reads on to the end. Whether what came is right, the comparison tells, unless it is that nothing ends.
func finish(answers *bufio.Reader) error {
	_, err := io.Copy(io.Discard, answers)
	if netErr := net.Error(nil); errors.As(err, &netErr) && netErr.Timeout() {
		return fmt.Errorf("the connection was never closed: %w", err)
	}
	return nil
}
