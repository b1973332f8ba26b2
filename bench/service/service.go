// Package service is the small service that is replaced: the same handler under each library, one main package for each.
package service

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/handover-go/handover/handovertest"
)

// What every subject is configured with that can be.
const (
	// ReadyTimeout is for how long a successor may prepare itself.
	ReadyTimeout = 2 * time.Second
	// DrainTimeout is for how long the old process may finish what it holds. The slowest client is heard out well before.
	DrainTimeout = 10 * time.Second
	// Probation is for how long the incumbent stands by. Only handover has such a time. It outlasts CrashAfter.
	Probation = 500 * time.Millisecond
)

// Address is where this process serves.
func Address() string { return os.Args[1] }

// What the bare program logs for a signal, and the socket in its directory at which it answers.
const (
	Told   = "told"
	Socket = "bare.sock"
)

// Handler answers what the load asks; at /plain a hundred bytes; and at /mallocs the number of heap objects that this process
// has allocated so far.
func Handler() http.Handler {
	body := bytes.Repeat([]byte("x"), BodySize)
	mux := http.NewServeMux()
	mux.Handle("/", handovertest.Handler())
	mux.HandleFunc("/plain", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	mux.HandleFunc("/mallocs", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		_, _ = io.WriteString(w, strconv.FormatUint(m.Mallocs, 10))
	})
	return mux
}

// BodySize is the length of the answer at /plain.
const BodySize = 100
