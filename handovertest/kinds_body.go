package handovertest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// upload trickles a body, by turns with a Content-Length and in chunks that
// end with a trailer.
func upload(ctx context.Context, c *client) {
	if _, ok := c.next(ctx); !ok {
		return
	}
	id, body, trailer := c.newID(), c.body(), ""
	head := c.post("/upload", id, fmt.Sprintf("Content-Length: %d\r\n", len(body)))
	message := body
	if c.turns%2 == 1 {
		trailer = "end of " + id
		head = c.post("/upload", id, "Transfer-Encoding: chunked\r\nTrailer: "+trailerName+"\r\n")
		message = chunked(body, trailer)
	}
	c.ask(question{
		ids: []string{id},
		send: func(conn *conn) error {
			if err := conn.write(head); err != nil {
				return err
			}
			return c.trickle(ctx, conn, message, 2+c.random.IntN(9))
		},
		read: func(conn *conn, id string) (Answer, *http.Response, error) {
			return c.readAnswer(conn, id, 0, verifyUpload(body, trailer))
		},
	})
}

// expectContinue holds its body back until the service asks for it.
func expectContinue(ctx context.Context, c *client) {
	if _, ok := c.next(ctx); !ok {
		return
	}
	id, body := c.newID(), c.body()
	head := c.post("/upload", id, fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n", len(body)))
	c.ask(question{
		ids: []string{id},
		send: func(conn *conn) error {
			if err := conn.write(head); err != nil {
				return err
			}
			resp, err := conn.head(0)
			if err != nil {
				return err
			}
			if resp.StatusCode != http.StatusContinue {
				return faultf(Wrong, "status %s before the body, instead of 100", resp.Status)
			}
			pauseUntil(ctx, time.Now().Add(c.between(c.load.Span)/2))
			return c.trickle(ctx, conn, body, 2)
		},
		read: func(conn *conn, id string) (Answer, *http.Response, error) {
			return c.readAnswer(conn, id, 0, verifyUpload(body, ""))
		},
	})
}

// streamLines is how many lines a stream has.
const streamLines = 10

func stream(ctx context.Context, c *client) {
	if _, ok := c.next(ctx); !ok {
		return
	}
	id, span := c.newID(), c.between(c.load.Span)
	target := fmt.Sprintf("/stream?n=%d&ms=%d", streamLines, span.Milliseconds()/streamLines)
	c.ask(question{ids: []string{id}, send: sending(c.get(target, id, ""), nil), read: func(conn *conn, id string) (Answer, *http.Response, error) {
		return readStream(conn, id, span)
	}})
}

// readStream verifies each line when it comes: what breaks is found then.
func readStream(conn *conn, id string, span time.Duration) (Answer, *http.Response, error) {
	resp, err := conn.head(span)
	if err != nil {
		return Answer{}, nil, err
	}
	if err := statusOK(resp); err != nil {
		return Answer{}, nil, err
	}
	lines := bufio.NewReader(resp.Body)
	line, err := lines.ReadString('\n')
	if err != nil {
		return Answer{}, nil, conn.failure(err, "reading the first line of the stream")
	}
	answer, err := parseAnswerLine(line)
	if err == nil && answer.ID != id {
		err = faultf(Wrong, "the stream is to %q, not to %q", answer.ID, id)
	}
	if err != nil {
		return answer, nil, err
	}
	for i := range streamLines {
		line, err := lines.ReadString('\n')
		if err != nil {
			return answer, nil, conn.failure(err, fmt.Sprintf("reading line %d of the stream", i))
		}
		if line != streamLine(i, id) {
			return answer, nil, faultf(Wrong, "line %d of the stream is %.80q", i, line)
		}
	}
	if rest, err := io.ReadAll(lines); err != nil {
		return answer, nil, conn.failure(err, "reading the end of the stream")
	} else if len(rest) > 0 {
		return answer, resp, faultf(Wrong, "the stream goes on after its end: %.80q", rest)
	}
	return answer, resp, verifyStreamTrailer(resp)
}

func verifyStreamTrailer(resp *http.Response) error {
	if got := resp.Trailer.Get(trailerName); got != strconv.Itoa(streamLines) {
		return faultf(Wrong, "the stream's trailer is %q", got)
	}
	return nil
}

// body returns some kilobytes that no other request sends.
func (c *client) body() []byte {
	b := make([]byte, 1024+c.random.IntN(32<<10))
	for i := range b {
		b[i] = byte(c.random.Uint32())
	}
	return b
}

// chunked encodes body in a few chunks, with a trailer.
func chunked(body []byte, trailer string) []byte {
	var b bytes.Buffer
	for part := len(body)/3 + 1; len(body) > 0; {
		n := min(part, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	fmt.Fprintf(&b, "0\r\n%s: %s\r\n\r\n", trailerName, trailer)
	return b.Bytes()
}

func verifyUpload(body []byte, trailer string) verifyFunc {
	digest := sha256.Sum256(body)
	want := uploadLine(int64(len(body)), digest[:], trailer)
	return func(_ string, resp *http.Response, got []byte) (Answer, error) {
		if err := statusOK(resp); err != nil {
			return Answer{}, err
		}
		line, rest, _ := strings.Cut(string(got), "\n")
		answer, err := parseAnswerLine(line + "\n")
		if err == nil && rest != want {
			err = faultf(Wrong, "the body arrived as %.200q, not as %q", rest, want)
		}
		return answer, err
	}
}
