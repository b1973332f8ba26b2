package traffic

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Channel is what a service knows of the connection on which it was asked, and of the request.
type Channel struct {
	ID         string
	PID        int
	Generation int
	Remote     string // address of the client
	Version    string // of TLS, "" without; and so the rest of it
	Suite      string
	Retried    bool   // the server had asked for another key share
	Client     string // SHA-256 of the client's certificate, in hexadecimal
	Received   string // that of the request's body
}

// channel answers a Channel on one line, then as many lines as /long has, and last the SHA-256 of all before it. Any page may read it.
func channel(w http.ResponseWriter, r *http.Request, generation int) {
	digest := sha256.New()
	if _, err := io.Copy(digest, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	<-time.After(milliseconds(r))
	c := Channel{
		ID: r.URL.Query().Get("id"), PID: os.Getpid(), Generation: generation, Remote: r.RemoteAddr, Received: fmt.Sprintf("%x", digest.Sum(nil)),
	}
	if s := r.TLS; s != nil {
		c.Version, c.Suite, c.Retried = tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), s.HelloRetryRequest
		if len(s.PeerCertificates) > 0 {
			c.Client = fmt.Sprintf("%x", sha256.Sum256(s.PeerCertificates[0].Raw))
		}
	}
	lines, _ := strconv.Atoi(r.URL.Query().Get("n"))
	head, err := json.Marshal(c)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body := append(append(head, '\n'), longBody(lines)...)
	w.Header().Set("Access-Control-Allow-Origin", "*")
	_, _ = fmt.Fprintf(w, "%s%x\n", body, sha256.Sum256(body)) // a client that leaves before the end is not owed it
}

// ReadChannel reads what /channel?n=lines answers, and no byte behind it. It is an error if one does not belong where it stands.
func ReadChannel(from *bufio.Reader, lines int) (c Channel, err error) {
	head, err := from.ReadBytes('\n')
	if err != nil {
		return c, fmt.Errorf("read answer, of which %.200q came: %w", head, err)
	}
	if err := json.Unmarshal(head, &c); err != nil {
		return c, fmt.Errorf("read answer %.200q: %w", head, err)
	}
	rest := make([]byte, lines*longLine+2*sha256.Size+1)
	if n, err := io.ReadFull(from, rest); err != nil {
		return c, fmt.Errorf("read answer %s, of which %d bytes of %d came: %w", c.ID, n, len(rest), err)
	}
	body := append(head, longBody(lines)...)
	if want := fmt.Appendf(longBody(lines), "%x\n", sha256.Sum256(body)); !bytes.Equal(rest, want) {
		return c, fmt.Errorf("read answer %s: it is not the one that was asked for", c.ID)
	}
	return c, nil
}
