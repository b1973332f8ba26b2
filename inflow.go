package handover

import (
	"crypto/tls"
	"encoding/binary"
	"net/http"
	"strings"
)

// inflow measures what a client sends, to tell whether the beginning of another request is behind one that is being answered: a
// server does not read on behind "Connection: close". net/http does not say what it has buffered, and TLS hides where a request ends. So
// bytes that have reached the server are counted, over TLS those of whole records, and a request claims its own when its
// handler begins.
type inflow struct {
	size    int  // bytes that no request has claimed; over TLS with what encryption adds to each record
	records int  // over TLS: how many records they came in
	begun   bool // a byte has come
	secure  bool // the client speaks TLS
	http2   bool // the client speaks HTTP/2, with TLS or without, so that nothing here means anything

	header [recordHeader]byte // over TLS: of the present record
	have   int                // so much of it
	rest   int                // bytes of the record that are still to come

	looked        bool // for the present request, as nothing was left of what had come
	chained       bool // the present request had come before the last one was answered
	chainedBefore bool // and the last one before the one before it
	claimed       bool // by the last request
	odd           bool // the last request left something, and had been all that came

	came bool // a byte behind the present request, since the last one was served
	lone bool // the present request was all that had come
	late bool // something came behind an answer, with other requests under way, and since then the client has never waited
	calm int  // so many of the last lone requests, in a row, had nothing come until they were answered
}

// TLS records (RFC 8446, section 5.1; RFC 5246, section 6.2.1).
const (
	recordHeader    = 5
	recordHandshake = 22
	recordData      = 23
)

// add counts bytes that are on their way to the server.
func (f *inflow) add(p []byte) {
	f.came = f.came || len(p) > 0
	if !f.begun && len(p) > 0 {
		f.begun, f.secure = true, p[0] == recordHandshake || p[0] == recordData // the latter where it goes on
	}
	if !f.secure {
		f.size += len(p)
		return
	}
	for len(p) > 0 {
		n := copy(f.header[f.have:], p)
		p = p[n:]
		if f.have += n; f.have < recordHeader {
			return
		}
		if n > 0 {
			f.rest = int(binary.BigEndian.Uint16(f.header[3:]))
		}
		n = min(f.rest, len(p))
		p = p[n:]
		if f.rest -= n; f.rest > 0 {
			return
		}
		if f.have = 0; f.header[0] == recordData {
			f.size += int(binary.BigEndian.Uint16(f.header[3:]))
			f.records++
		}
	}
}

// halfway reports whether a record has come in part.
func (f *inflow) halfway() bool { return f.have > 0 }

// look notes that the server looks for a request, and has nothing left but, perhaps, less than it looks for. rested says that
// nothing waits in the kernel either.
func (f *inflow) look(rested bool) {
	f.odd = f.claimed && f.size != 0
	f.looked, f.chained, f.claimed = true, !rested, false
	f.late = f.late && !rested
	if f.size < 0 || f.size >= lookedFor {
		f.size, f.records = 0, 0
	}
}

// lookedFor is how many bytes net/http waits for between requests; a read in the background may have brought the first.
const lookedFor = 4

// answered notes that the next request is looked for, first in what has come already.
func (f *inflow) answered() { f.looked, f.chained, f.chainedBefore = false, true, f.chained }

// polite reports whether the client waits for each answer, as far as its last two requests tell.
func (f *inflow) polite() bool { return !f.chained && !f.chainedBefore }

// leads reports whether the present request is the first of several, if the client goes on as it did.
func (f *inflow) leads() bool { return !f.chained && f.chainedBefore }

// claim returns how much has come beyond r and its body: 0 is nothing, less than nothing if some of r is still to come.
func (f *inflow) claim(r *http.Request) int {
	f.size -= f.records*recordOverhead(r.TLS) + requestSize(r)
	f.records, f.claimed = 0, r.ContentLength >= 0
	f.came, f.lone = f.came && !f.looked, false // what was looked for is the request itself
	return f.size
}

// calmEnough is how often who sends with answers under way must have waited behind a lone request: a batch in pieces ends so each time,
// a window that is kept full is seldom empty.
const calmEnough = 3

// awaits reports whether the client waits for the answer to a lone request, as far as it can be told: one that keeps a window of
// requests under way, and was slow to fill it again, does not.
func (f *inflow) awaits() bool {
	f.lone = true
	return !f.late || f.calm >= calmEnough
}

// served notes that r, the present request, is answered, and whether something waits in the kernel. Where r has a body, that may be what came.
func (f *inflow) served(r *http.Request, waits bool) {
	came := r.ContentLength == 0 && (f.came || waits)
	f.late = f.late || came && f.chained
	switch {
	case f.lone && came:
		f.calm = 0
	case f.lone:
		f.calm++
	}
	f.came = false
}

// requestSize is how long r is on the wire, with its body if its length is known. A request that is written in an unusual
// way, as with spaces at the end of a line, is longer.
func requestSize(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("  \r\n") + len("Host: \r\n") + len(r.Host) + len("\r\n")
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	return n + int(max(r.ContentLength, 0))
}

// recordOverhead is by how much a record is longer than what it carries. Where that varies, requests are never of the size
// computed.
func recordOverhead(state *tls.ConnectionState) int {
	const tag, nonce, contentType = 16, 8, 1
	switch {
	case state == nil:
		return 0
	case state.Version >= tls.VersionTLS13:
		return tag + contentType // RFC 8446, section 5.2
	case strings.Contains(tls.CipherSuiteName(state.CipherSuite), "GCM"):
		return tag + nonce // RFC 5288, section 3
	case strings.Contains(tls.CipherSuiteName(state.CipherSuite), "CHACHA20"):
		return tag // RFC 7905, section 2
	default:
		return 0
	}
}
