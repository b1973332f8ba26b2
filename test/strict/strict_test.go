package strict_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/handover-go/handover/test/strict"
)

const kinds = 8

// A restart that is as polite as net/http can make it costs connections: a driver that does not see that sees nothing.
func TestPlainRestartIsNoticed(t *testing.T) {
	address := freeAddress(t)
	before, after := newCensus(kinds), newCensus(kinds)
	stop := serve(t, address, before)
	driver := strict.Drive(address, strict.Everyone)
	before.await(t)
	stop()
	stop = serve(t, address, after)
	after.await(t)
	report := driver.Stop()
	stop()
	t.Log(report)
	if report.Requests == 0 || report.Failed+report.Closed == 0 {
		t.Errorf("%d requests, failed %d, closed %d: want some, and some of one of the last two", report.Requests, report.Failed, report.Closed)
	}
}

func TestServiceThatStaysLosesNothing(t *testing.T) {
	address := freeAddress(t)
	everyone := newCensus(kinds)
	stop := serve(t, address, everyone)
	driver := strict.Drive(address, strict.Everyone)
	everyone.await(t)
	report := driver.Stop()
	stop()
	t.Log(report)
	if report.Failed != 0 || report.Closed != 0 {
		t.Errorf("failed %d, closed %d, want none:\n%s", report.Failed, report.Closed, strings.Join(report.Reasons, "\n"))
	}
}

func TestEveryFlawOfAnAnswerIsCounted(t *testing.T) {
	const (
		ok      = "HTTP/1.1 200 OK\r\n"
		length  = "Content-Length: LEN\r\n"
		chunked = "Transfer-Encoding: chunked\r\n"
		right   = "ID GET 0 00000000 7"
	)
	for _, test := range []struct {
		name           string
		answer         string // with the request's id for ID, and for LEN and HEX how many bytes there are after the head and in right
		closes         bool   // the server does, after the answer
		failed, closed bool   // what is wanted
	}{
		{name: "right", answer: ok + length + "\r\n" + right},
		{name: "right in chunks", answer: ok + chunked + "\r\nHEX\r\n" + right + "\r\n0\r\n\r\n"},
		{name: "end of the connection afterwards", answer: ok + length + "\r\n" + right, closes: true, closed: true},
		{name: "end of the connection announced", answer: ok + "Connection: close\r\n" + length + "\r\n" + right, closed: true},
		{name: "nothing", closes: true, failed: true},
		{name: "half a head", answer: ok + "Content-", closes: true, failed: true},
		{name: "half a body", answer: ok + "Content-Length: 100\r\n\r\n" + right, closes: true, failed: true},
		{name: "no last chunk", answer: ok + chunked + "\r\nHEX\r\n" + right + "\r\n", closes: true, failed: true},
		{name: "another id", answer: ok + length + "\r\nx" + right, failed: true},
		{name: "another method", answer: ok + length + "\r\nID PUT 0 00000000 7", failed: true},
		{name: "another size", answer: ok + length + "\r\nID GET 1 00000000 7", failed: true},
		{name: "another sum", answer: ok + length + "\r\nID GET 0 00000001 7", failed: true},
		{name: "error", answer: "HTTP/1.1 503 Service Unavailable\r\n" + length + "\r\n" + right, failed: true},
		{name: "interim answer only", answer: "HTTP/1.1 100 Continue\r\n\r\n", closes: true, failed: true},
		{name: "bytes after the answer", answer: ok + chunked + "\r\nHEX\r\n" + right + "\r\n0\r\n\r\nHTTP/1.1 ", failed: true},
		{name: "length and chunks", answer: ok + length + chunked + "\r\n" + right, failed: true},
		{name: "as long as the connection", answer: ok + "\r\n" + right, closes: true, failed: true},
		{name: "older protocol", answer: "HTTP/1.0 200 OK\r\n" + length + "\r\n" + right, failed: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := func(id string) string {
				_, body, _ := strings.Cut(strings.ReplaceAll(test.answer, "ID", id), "\r\n\r\n")
				size := len(strings.ReplaceAll(right, "ID", id))
				return strings.NewReplacer("ID", id, "LEN", fmt.Sprint(len(body)), "HEX", fmt.Sprintf("%x", size)).Replace(test.answer)
			}
			answers := newCensus(3)
			address, stop := pretend(t, answer, test.closes, answers)
			driver := strict.Drive(address, strict.Clients{KeepAlive: 1})
			answers.await(t)
			report := driver.Stop()
			stop()
			// Where a server may do both, what comes first is the flaw.
			if (report.Failed > 0) != test.failed || !test.failed && (report.Closed > 0) != test.closed {
				t.Errorf("failed %d, closed %d; want any: %t, %t\n%s", report.Failed, report.Closed, test.failed, test.closed,
					strings.Join(report.Reasons, "\n"))
			}
		})
	}
}

func TestRefusedConnectionHasFailed(t *testing.T) {
	address := freeAddress(t)
	if pid, err := strict.Ask(address); err == nil {
		t.Fatalf("process %d answers where nobody listens", pid)
	}
	driver := strict.Drive(address, strict.Clients{Silent: 1})
	report := driver.Stop()
	if report.Failed == 0 || report.Requests != 0 {
		t.Errorf("failed %d, requests %d, want failures only", report.Failed, report.Requests)
	}
}

// freeAddress returns an address at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	return ln.Addr().String()
}
