package strict

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	maxHeaders = 50
	maxBody    = 1 << 20
)

// answer is a response as it came over the connection.
type answer struct {
	status int
	header map[string]string // by name in lower case
	body   []byte
}

// closes reports whether the server announces the end of the connection.
func (a answer) closes() bool {
	for token := range strings.SplitSeq(a.header["connection"], ",") {
		if strings.EqualFold(strings.TrimSpace(token), "close") {
			return true
		}
	}
	return false
}

// readAnswer reads one response (RFC 9112). It takes what net/http's server may send, and no more: an answer ends where its
// length or its last chunk says, never with the connection.
func readAnswer(r *bufio.Reader) (answer, error) {
	a, err := readHead(r)
	if err != nil {
		return a, fmt.Errorf("read head: %w", err)
	}
	if a.body, err = readBody(r, a); err != nil {
		return a, fmt.Errorf("read body: %w", err)
	}
	return a, nil
}

func readHead(r *bufio.Reader) (answer, error) {
	a := answer{header: map[string]string{}}
	line, err := readLine(r)
	if err != nil {
		return a, err
	}
	rest, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	if !ok || len(rest) < 4 || rest[3] != ' ' {
		return a, fmt.Errorf("status line %.60q", line)
	}
	if a.status, err = strconv.Atoi(rest[:3]); err != nil || a.status < 100 {
		return a, fmt.Errorf("status line %.60q", line)
	}
	for range maxHeaders {
		line, err := readLine(r)
		if err != nil {
			return a, unexpected(err)
		}
		if line == "" {
			return a, nil
		}
		name, value, ok := strings.Cut(line, ":")
		name = strings.ToLower(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return a, fmt.Errorf("header line %.60q", line)
		}
		if _, twice := a.header[name]; twice {
			return a, fmt.Errorf("header %q twice", name)
		}
		a.header[name] = strings.TrimSpace(value)
	}
	return a, errors.New("too many headers")
}

func readBody(r *bufio.Reader, a answer) ([]byte, error) {
	length, hasLength := a.header["content-length"]
	encoding, hasEncoding := a.header["transfer-encoding"]
	switch {
	case a.status < 200:
		return nil, nil
	case hasEncoding && (hasLength || encoding != "chunked"):
		return nil, fmt.Errorf("transfer encoding %q, length %q", encoding, length)
	case hasEncoding:
		return readChunks(r)
	case !hasLength:
		return nil, errors.New("neither length nor chunks")
	}
	n, err := strconv.ParseUint(length, 10, 32)
	if err != nil || n > maxBody {
		return nil, fmt.Errorf("length %q", length)
	}
	return readExactly(r, int(n))
}

func readChunks(r *bufio.Reader) ([]byte, error) {
	var body []byte
	for {
		line, err := readLine(r)
		if err != nil {
			return nil, unexpected(err)
		}
		n, err := strconv.ParseUint(line, 16, 32)
		if err != nil || n > maxBody || len(body)+int(n) > maxBody {
			return nil, fmt.Errorf("chunk of size %.20q", line)
		}
		chunk, err := readExactly(r, int(n))
		if err != nil {
			return nil, err
		}
		if end, err := readLine(r); err != nil {
			return nil, unexpected(err)
		} else if end != "" {
			return nil, fmt.Errorf("%.20q after a chunk", end)
		}
		if n == 0 {
			return body, nil
		}
		body = append(body, chunk...)
	}
}

func readExactly(r *bufio.Reader, n int) ([]byte, error) {
	p := make([]byte, n)
	_, err := io.ReadFull(r, p)
	return p, unexpected(err)
}

// readLine returns a line without its CRLF. The error is io.EOF only if nothing of the line came.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if len(line) > 0 {
			err = unexpected(err)
		}
		return "", err
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return "", fmt.Errorf("line %.60q ends without CR", line)
	}
	return text, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
