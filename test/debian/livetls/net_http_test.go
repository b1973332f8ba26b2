//go:build debian

package livetls

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
)

// netHTTP asks by an http.Client.
func (s *service) netHTTP(ctx context.Context, c *client) error {
	transport := &http.Transport{TLSClientConfig: s.trusts()}
	defer transport.CloseIdleConnections()
	asks := &http.Client{Transport: transport}
	var of own
	wrote, put := make(chan struct{}, 1), make(chan error, 1)
	trace := &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			if !i.Reused {
				of.opened++
			}
			of.port = i.Conn.LocalAddr().(*net.TCPAddr).Port
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { wrote <- struct{}{} },
		PutIdleConn:  func(err error) { put <- err },
	}
	for q, more := c.next(); more; q, more = c.next() {
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), q.method, "https://"+s.Secure+q.path, strings.NewReader(q.body))
		if err != nil {
			return err
		}
		answer, err := asks.Do(r)
		if err != nil {
			return err
		}
		<-wrote
		err = c.hearBody(answer.StatusCode, answer.Body)
		_ = answer.Body.Close()
		if err == nil {
			err = c.agree(of)
		}
		if err != nil {
			return err
		}
		select {
		case err = <-put:
		default:
			err = errors.New("it does not")
		}
		if err != nil {
			return fmt.Errorf("the client is to use its connection again: %w", err)
		}
	}
	return nil
}
