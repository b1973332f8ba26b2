package handovertest

import (
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

func TestLossIsExplainedOnlyByTheDeathOfWhoHeldTheConnection(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(1_000_000 + int64(ms)) }
	const here = "127.0.0.1:5000"
	book := ledger{here: {
		{pid: 1, at: at(10)}, // an earlier life of the port
		{pid: 2, at: at(110)},
		{pid: 3, at: at(150)}, // given the same connection
		{pid: 4, at: at(500)}, // a later life
	}}
	loss := Loss{Local: here, Opened: at(100), At: at(300)}
	passedOn := Loss{Local: "127.0.0.1:5002", Opened: at(100), At: at(300)}
	book[passedOn.Local] = []entry{{pid: 2, at: at(110)}, {pid: 2, at: at(280), left: true}, {pid: 2, at: at(500)}}
	for name, c := range map[string]struct {
		loss   Loss
		deaths []death
		want   bool
	}{
		"holder killed after it had let go":    {passedOn, []death{{pid: 2, at: at(290)}}, false},
		"holder killed, who closed as it died": {passedOn, []death{{pid: 2, at: at(280)}}, true},
		"holder killed before":                 {loss, []death{{pid: 3, at: at(290)}}, true},
		"holder killed after":                  {loss, []death{{pid: 3, at: at(301)}}, false},
		"one that had passed it on":            {loss, []death{{pid: 2, at: at(290)}}, false},
		"holder of an earlier life":            {loss, []death{{pid: 1, at: at(290)}}, false},
		"holder of a later life":               {loss, []death{{pid: 4, at: at(290)}}, false},
		"other connection":                     {Loss{Local: "127.0.0.1:5001", Opened: at(100), At: at(300)}, []death{{pid: 3, at: at(290)}}, false},
		"long in dying":                        {loss, []death{{pid: 3, at: at(20), dead: at(160)}}, true},
		"killed long before it was it":         {loss, []death{{pid: 3, at: at(20)}}, false},
		"nobody":                               {loss, nil, false},
		"pid that a ledger never named":        {loss, []death{{pid: 0, at: at(290)}}, false},
	} {
		if got := book.diedHolding(c.loss, c.deaths); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func TestLossInPassingIsUnwrittenOnlyAtTheInstantOfAKill(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(1_000_000 + int64(ms)) }
	const here = "127.0.0.1:5000"
	held := entry{pid: 2, at: at(110)}
	passedOn := []entry{held, {pid: 2, at: at(1000), left: true}}
	for name, c := range map[string]struct {
		entries []entry
		lost    time.Time
		deaths  []death
		want    bool
	}{
		"its receiver killed":                        {passedOn, at(1020), []death{{pid: 3, at: at(1010)}}, true},
		"its receiver killed, its line late":         {[]entry{held, {pid: 2, at: at(1030), left: true}}, at(1020), []death{{pid: 3, at: at(1010)}}, true},
		"its receiver long in dying":                 {passedOn, at(1220), []death{{pid: 3, at: at(810), dead: at(1230)}}, true},
		"its receiver dead before":                   {passedOn, at(1220), []death{{pid: 3, at: at(810), dead: at(1190)}}, false},
		"nobody killed":                              {passedOn, at(1020), nil, false},
		"killed after the loss":                      {passedOn, at(1020), []death{{pid: 3, at: at(1021)}}, false},
		"killed long before the loss":                {passedOn, at(1200), []death{{pid: 3, at: at(1010)}}, false},
		"killed long after it was passed on":         {passedOn, at(1220), []death{{pid: 3, at: at(1210)}}, false},
		"its sender killed":                          {passedOn, at(1020), []death{{pid: 2, at: at(1010)}}, true},
		"its sender killed, which still had it":      {passedOn, at(1520), []death{{pid: 2, at: at(1510)}}, true},
		"its sender killed long after":               {passedOn, at(2220), []death{{pid: 2, at: at(2210)}}, false},
		"still held":                                 {[]entry{held}, at(1020), []death{{pid: 3, at: at(1010)}}, false},
		"given up long after the loss":               {[]entry{held, {pid: 2, at: at(1200), left: true}}, at(1020), []death{{pid: 3, at: at(1010)}}, false},
		"its receiver has written":                   {append(passedOn, entry{pid: 3, at: at(1005)}), at(1020), []death{{pid: 3, at: at(1010)}}, false},
		"its receiver killed, noticed late":          {passedOn, at(1220), []death{{pid: 3, at: at(1010), stall: 200 * time.Millisecond}}, true},
		"opened before, on a machine that stalls":    {nil, at(300), []death{{pid: 3, at: at(280), stall: 200 * time.Millisecond}}, true},
		"never written, and opened as one is killed": {nil, at(120), []death{{pid: 3, at: at(110)}}, true},
		"never written, and opened long before":      {nil, at(1020), []death{{pid: 3, at: at(1010)}}, false},
	} {
		loss := Loss{Local: here, Opened: at(100), At: c.lost}
		if got := (ledger{here: c.entries}).unwritten(loss, c.deaths); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func TestAcceptsAreRecordedUnderTheAddressThatTheClientKnows(t *testing.T) {
	for network, address := range map[string]string{
		"tcp": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": filepath.Join(t.TempDir(), "s"),
	} {
		ln, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		const pid = 4711
		dir := t.TempDir()
		var chained atomic.Int32
		srv := &http.Server{Handler: Handler(), ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				chained.Add(1)
			}
		}}
		if err := recordAccepts(srv, dir, pid); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			srv.Serve(ln)
		}()
		d, err := Drive(t.Context(), Load{Network: network, Address: ln.Addr().String(), Ledger: dir, Clients: Clients{Idle: 3}})
		if err != nil {
			t.Fatal(err)
		}
		d.Killed(pid, time.Now())
		srv.Close()
		<-done
		r := d.Stop()
		if r.LostInCrash != 3 || r.Closed != 0 || chained.Load() != 3 {
			t.Errorf("%s: %d accepts, want 3 connections lost in the crash: %s", network, chained.Load(), r)
		}
	}
}
