package handovertest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// trailerName is the trailer that chunked uploads carry and streams end with.
const trailerName = "X-Handovertest-Trailer"

// Handler answers what the clients of a [Load] ask, so that each answer can be
// verified and says which process gave it:
//
//	/                  the line "ID PID GENERATION"
//	/slow?ms=          the same, after that time or when the client has gone
//	/upload            the same, and "LENGTH SHA256 TRAILER" of the body
//	/stream?n=&ms=     the same, and n lines "I ID", a pause before each, and a trailer
//
// ID is the query's id, or else the header X-Request-Id. The generation is 0.
func Handler() http.Handler {
	return HandlerFor(func() int { return 0 })
}

// HandlerFor is [Handler] with a generation. It is asked at each request.
func HandlerFor(generation func() int) http.Handler {
	answer := func(r *http.Request) string {
		return answerLine(Answer{ID: requestID(r), PID: os.Getpid(), Generation: generation()})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, answer(r))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		if pause(r, "ms") {
			io.WriteString(w, answer(r))
		}
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		digest := sha256.New()
		n, err := io.Copy(digest, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		io.WriteString(w, answer(r)+uploadLine(n, digest.Sum(nil), r.Trailer.Get(trailerName)))
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		w.Header().Set("Trailer", trailerName)
		io.WriteString(w, answer(r))
		flush := http.NewResponseController(w)
		for i := range n {
			flush.Flush()
			if !pause(r, "ms") {
				return
			}
			io.WriteString(w, streamLine(i, requestID(r)))
		}
		w.Header().Set(trailerName, strconv.Itoa(n))
	})
	return mux
}

func requestID(r *http.Request) string {
	if id := r.URL.Query().Get("id"); id != "" {
		return id
	}
	return r.Header.Get("X-Request-Id")
}

// pause waits for the milliseconds that the request names; false: it has gone.
func pause(r *http.Request, parameter string) bool {
	ms, _ := strconv.Atoi(r.URL.Query().Get(parameter))
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func answerLine(a Answer) string {
	return fmt.Sprintf("%s %d %d\n", a.ID, a.PID, a.Generation)
}

func uploadLine(n int64, digest []byte, trailer string) string {
	return fmt.Sprintf("%d %s %q\n", n, hex.EncodeToString(digest), trailer)
}

func streamLine(i int, id string) string {
	return fmt.Sprintf("%d %s\n", i, id)
}

func parseAnswerLine(line string) (Answer, error) {
	var a Answer
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return a, fmt.Errorf("answer %.80q: not a line of this handler", line)
	}
	pid, errPID := strconv.Atoi(fields[1])
	generation, errGeneration := strconv.Atoi(fields[2])
	a = Answer{ID: fields[0], PID: pid, Generation: generation}
	if errPID != nil || errGeneration != nil || answerLine(a) != line {
		return a, fmt.Errorf("answer %.80q: not a line of this handler", line)
	}
	return a, nil
}
