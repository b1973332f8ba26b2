package traffic

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// longLine is how long a line of /long is. As lines are numbered, each byte of an answer tells where it belongs.
const longLine = 64

func long(w http.ResponseWriter, r *http.Request) {
	lines, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(lines*longLine))
	_, _ = w.Write(longBody(lines)) // a client that leaves before the end is not owed it
}

func longBody(lines int) []byte {
	body := make([]byte, 0, lines*longLine)
	for i := range lines {
		body = fmt.Appendf(body, "%0*d\n", longLine-1, i)
	}
	return body
}

// readLong reads what /long?n=lines answers, to its end, and returns how many bytes came. It is an error if one of them does not belong
// where it stands, or is missing.
func readLong(from io.Reader, lines int) (n int, err error) {
	var body bytes.Buffer
	body.Grow(lines*longLine + bytes.MinRead)
	_, err = body.ReadFrom(from)
	got, want := body.Bytes(), longBody(lines)
	if bytes.Equal(got, want) {
		return len(got), err
	}
	same := 0
	for same < min(len(got), len(want)) && got[same] == want[same] {
		same++
	}
	return len(got), fmt.Errorf("%d bytes of %d, of which %d are right, %w", len(got), len(want), same, err)
}
