package strict

import (
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// Echo is the handler that the driver's clients expect: it answers with what it understood of the request, and with the
// number of its process. With "chunked" in the query the answer has no length.
func Echo(w http.ResponseWriter, r *http.Request) {
	sum := crc32.NewIEEE()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	query := r.URL.Query()
	if query.Has("chunked") {
		_ = http.NewResponseController(w).Flush()
	}
	fmt.Fprintf(w, "%s %s %d %08x %d", query.Get("id"), r.Method, n, sum.Sum32(), os.Getpid())
}

// request is what a client sends. Its id is unique among all clients of a driver.
type request struct {
	id      string
	method  string
	body    []byte
	chunked bool   // a body is sent in chunks, and the answer is wanted so
	header  string // more lines of the head, each with its CRLF
}

// head returns the request up to its body.
func (r request) head() []byte {
	b := fmt.Appendf(nil, "%s /?id=%s", r.method, r.id)
	if r.chunked {
		b = append(b, "&chunked"...)
	}
	b = append(b, " HTTP/1.1\r\nHost: strict\r\n"+r.header...)
	switch {
	case r.body == nil:
	case r.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	default:
		b = fmt.Appendf(b, "Content-Length: %d\r\n", len(r.body))
	}
	return append(b, "\r\n"...)
}

// pieces returns the body in n parts, as they go over the connection.
func (r request) pieces(n int) [][]byte {
	var parts [][]byte
	size := max(1, (len(r.body)+n-1)/n)
	for rest := r.body; len(rest) > 0; {
		part := rest[:min(size, len(rest))]
		rest = rest[len(part):]
		if r.chunked {
			part = fmt.Appendf(nil, "%x\r\n%s\r\n", len(part), part)
		}
		parts = append(parts, part)
	}
	if r.chunked && r.body != nil {
		parts = append(parts, []byte("0\r\n\r\n"))
	}
	return parts
}

// verify returns the process that gave the answer, if the answer is the one to r.
func (r request) verify(a answer) (pid int, err error) {
	if a.status != http.StatusOK {
		return 0, fmt.Errorf("answer has status %d and body %.80q", a.status, a.body)
	}
	want := fmt.Sprintf("%s %s %d %08x ", r.id, r.method, len(r.body), crc32.ChecksumIEEE(r.body))
	rest, ok := strings.CutPrefix(string(a.body), want)
	if ok {
		pid, err = strconv.Atoi(rest)
	}
	if !ok || err != nil || pid <= 0 {
		return 0, fmt.Errorf("answer is %.120q, want %q and a process", a.body, want)
	}
	return pid, nil
}
