package demo

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/handover-go/handover"
)

// Ways in which a build can be bad.
const (
	exits   = "exits"   // it ends before it has begun
	fails   = "fails"   // it answers nothing but errors
	hangs   = "hangs"   // once it serves, it answers nothing
	crashes = "crashes" // once it serves, it panics under load
)

// crashAt is the connection at which a build that crashes does.
const crashAt = 5

// misbehave makes srv behave as this build's fault wants it.
func misbehave(p *handover.Process, srv *http.Server, log *slog.Logger, fault string) {
	// Only a generation that serves is in WhileServing: until then a build that hangs or crashes looks good.
	var serving atomic.Bool
	p.WhileServing(func(ctx context.Context) error {
		serving.Store(true)
		<-ctx.Done()
		return nil
	})
	good := srv.Handler
	switch fault {
	case fails:
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no database", http.StatusInternalServerError)
		})
	case hangs:
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if serving.Load() {
				select {} // a deadlock
			}
			good.ServeHTTP(w, r)
		})
	case crashes:
		var accepted atomic.Int32
		srv.ConnState = func(_ net.Conn, state http.ConnState) {
			if state != http.StateNew || !serving.Load() || accepted.Add(1) < crashAt {
				return
			}
			// net/http calls this between two accepts. So every connection that this process will ever have is in its
			// ledger now, and the time of this line lies between the last accept and the first loss.
			log.Error("crashing")
			panic("a bug that shows under load")
		}
	}
}
