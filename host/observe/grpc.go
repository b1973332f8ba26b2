package observe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/handover-go/handover/host/judge"
)

// GRPC asks a service for its health by grpc.health.v1, unary Check.
//
// The call is made with net/http: one message of one field each way is less than a client of gRPC would bring along, which goes on in the
// background and resolves names. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md and health-checking.md say how.
type GRPC struct {
	Name string
	Where
	TLS      bool
	Insecure bool          // accept any certificate
	Host     string        // authority, and the name in the certificate. Default: as for HTTP
	Service  string        // asked about. Default: the server as a whole
	Timeout  time.Duration // for all of it. Default 5 s
}

// Validate returns what is wrong with the check, or nil.
func (c GRPC) Validate() error {
	var host error
	if strings.ContainsAny(c.Host, "/ \r\n") {
		host = fmt.Errorf("Host: %q: want a name, or name:port", c.Host)
	}
	return named(c.Name, c.Timeout, c.Where.validate(), host)
}

// Run asks once.
func (c GRPC) Run(ctx context.Context) judge.Check { return measure(ctx, c.Name, c.Timeout, c.ask) }

func (c GRPC) ask(ctx context.Context) (string, error) {
	scheme, host := authority(c.Where, c.TLS, c.Host)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+host+"/grpc.health.v1.Health/Check", bytes.NewReader(healthRequest(c.Service)))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("TE", "trailers")
	r.Header.Set("User-Agent", "handover-health")
	transport := transportTo(c.Where, c.Insecure)
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP2(c.TLS)
	transport.Protocols.SetUnencryptedHTTP2(!c.TLS)
	defer transport.CloseIdleConnections()

	answer, err := transport.RoundTrip(r)
	if err != nil {
		return "", fmt.Errorf("ask for health: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxDetail)) // to its end, so that trailers are there
	if err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/grpc") {
		return "", fmt.Errorf("no gRPC server: status %d, content type %q", answer.StatusCode, answer.Header.Get("Content-Type"))
	}
	if code := trailer(answer, "Grpc-Status"); code != "0" {
		return "", fmt.Errorf("service %q: gRPC status %s: %s", c.Service, code, trailer(answer, "Grpc-Message"))
	}
	status, err := healthStatus(body)
	if err != nil {
		return "", err
	}
	seen := fmt.Sprintf("service %q: %s", c.Service, statusName(status))
	if status != serving {
		return "", errors.New(seen)
	}
	return seen, nil
}

// trailer is a trailer of the answer; of one without a message it stands in the header.
func trailer(answer *http.Response, key string) string {
	if v := answer.Trailer.Get(key); v != "" {
		return v
	}
	return answer.Header.Get(key)
}

// serving is HealthCheckResponse.ServingStatus SERVING.
const serving = 1

// The tags of field 1, of wire types LEN and VARINT: HealthCheckRequest.service is a string, HealthCheckResponse.status a number.
const (
	tagService = 1<<3 | 2
	tagStatus  = 1 << 3
)

// healthRequest is a HealthCheckRequest, framed: not compressed, length, message.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = binary.AppendUvarint([]byte{tagService}, uint64(len(service)))
		message = append(message, service...)
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(frame, message...)
}

// healthStatus reads the status of a framed HealthCheckResponse. Fields that it does not know are an error: there are none.
func healthStatus(frame []byte) (uint64, error) {
	if len(frame) < 5 || frame[0] != 0 || uint64(binary.BigEndian.Uint32(frame[1:])) != uint64(len(frame)-5) {
		return 0, fmt.Errorf("read the answer: %d bytes that are not one message", len(frame))
	}
	message := frame[5:]
	if len(message) == 0 {
		return 0, nil
	}
	status, n := binary.Uvarint(message[1:])
	if message[0] != tagStatus || n <= 0 || n != len(message)-1 {
		return 0, errors.New("read the answer: not a HealthCheckResponse")
	}
	return status, nil
}

func statusName(status uint64) string {
	names := []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}
	if status < uint64(len(names)) {
		return names[status]
	}
	return fmt.Sprintf("status %d", status)
}
