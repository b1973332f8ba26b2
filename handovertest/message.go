package handovertest

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// get is a request as bytes, with more header lines, each ended by CRLF.
func (c *client) get(target, id, header string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", withID(target, id), c.load.Host, header)
}

func (c *client) post(target, id, header string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", withID(target, id), c.load.Host, header)
}

func withID(target, id string) string {
	if strings.Contains(target, "?") {
		return target + "&id=" + id
	}
	return target + "?id=" + id
}

// plainRequest is the request of a client without a path of its own.
func (c *client) plainRequest(id, header string) ([]byte, error) {
	if c.load.Request == nil {
		return c.get("/", id, header), nil
	}
	request, err := c.load.Request(id)
	if err != nil {
		return nil, faultf(OwnFault, "build request: %v", err)
	}
	closing := request.Close || strings.EqualFold(request.Header.Get("Connection"), "close")
	if closing || request.Method == http.MethodHead || request.Method == http.MethodConnect {
		return nil, faultf(OwnFault, "build request: HEAD, CONNECT and Connection: close cannot be driven")
	}
	var b bytes.Buffer
	if err := request.Write(&b); err != nil {
		return nil, faultf(OwnFault, "write request: %v", err)
	}
	return b.Bytes(), nil
}

// readPlain reads and verifies the answer to a plain request.
func (c *client) readPlain(conn *conn, id string) (Answer, *http.Response, error) {
	if c.load.Request != nil {
		return c.readAnswer(conn, id, 0, c.verifyOwn)
	}
	return c.readAnswer(conn, id, 0, verifyLine)
}

type verifyFunc func(id string, resp *http.Response, body []byte) (Answer, error)

func (c *client) readAnswer(conn *conn, id string, design time.Duration, verify verifyFunc) (Answer, *http.Response, error) {
	resp, body, err := conn.answer(design)
	if err != nil {
		return Answer{}, nil, err
	}
	answer, err := verify(id, resp, body)
	return answer, resp, err
}

// verifyOwn hands the answer to the caller's Verify.
func (c *client) verifyOwn(id string, resp *http.Response, body []byte) (Answer, error) {
	if c.load.Verify == nil {
		return Answer{ID: id}, statusOK(resp)
	}
	answer, err := c.load.Verify(id, resp, body)
	if answer.ID == "" {
		answer.ID = id
	}
	if err != nil {
		return answer, faultf(Wrong, "%v", err)
	}
	return answer, nil
}

func verifyLine(_ string, resp *http.Response, body []byte) (Answer, error) {
	if err := statusOK(resp); err != nil {
		return Answer{}, err
	}
	return parseAnswerLine(string(body))
}

func statusOK(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return faultf(Failed, "status %s", resp.Status)
	}
	return nil
}
