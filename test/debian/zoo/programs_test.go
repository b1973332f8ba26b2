//go:build debian

package zoo

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/test/debian/h2load"
)

// ran is a client that has come to its end.
type ran struct {
	pid       int
	out, said string // on its standard output and error
}

// failed is an error of that client.
func (r ran) failed(format string, args ...any) error {
	return lostBy{r.pid, fmt.Errorf(format+"\n%s%s", append(args, tail(r.out), tail(r.said))...)}
}

// run runs a client to its end.
func (z *cage) run(input, name string, args ...string) (r ran, err error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(z.ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &said
	if err := cmd.Start(); err != nil {
		return r, err
	}
	err = cmd.Wait()
	r = ran{cmd.Process.Pid, out.String(), said.String()}
	if err != nil {
		return r, r.failed("%s: %w", name, err)
	}
	return r, nil
}

// tail is as much of what a client has said as a reader wants.
func tail(said string) string {
	const enough = 4000
	return said[max(0, len(said)-enough):]
}

// A visit of curl asks that often on its connection, by turns for who answers and with a body.
const (
	urls     = 40
	slowness = 25 // ms that each other request takes
)

// curl joins the crowd in four ways: a new process and connection for each request, and one for many over each protocol.
func (z *cage) curl(c *crowd) {
	c.join("curl, one request", 10*time.Millisecond, false, func(i int) (int, error) {
		base := "http://" + z.http
		if i%2 == 0 {
			base = "https://" + z.https
		}
		body := strings.Repeat("x", i%1000)
		r, err := z.run(body, "curl", "--insecure", "--fail", "--silent", "--show-error", "--http1.1", "--data-binary", "@-", base+"/upload")
		if err == nil && r.out != fmt.Sprintln(len(body)) {
			err = r.failed("not the answer to %d bytes:", len(body))
		}
		return 1, err
	})
	for _, way := range []struct {
		kind, base, version string
		connections         int // that all requests of a visit may make; 0: as many as it is told to
	}{
		{"curl, HTTP/1.1", "http://" + z.http, "1.1", 1},
		{"curl, HTTP/1.1 over TLS", "https://" + z.https, "1.1", 0},
		{"curl, HTTP/2 over TLS", "https://" + z.https, "2", 0},
	} {
		c.join(way.kind, 0, false, func(int) (int, error) {
			r, err := z.run(visit(way.base, way.version), "curl", "--config", "-")
			if err == nil {
				err = r.visited(way.version, way.connections)
			}
			return strings.Count(r.out, "done 200 "), err
		})
	}
}

// visit is the configuration of one visit of curl. It is verbose, because curl asks again by itself, and only then says so, when a
// connection that it had used before ends without an answer.
func visit(base, version string) string {
	var b strings.Builder
	for i := range urls {
		if i > 0 {
			b.WriteString("next\n")
		}
		fmt.Fprintf(&b, "insecure\nfail\nno-progress-meter\nverbose\nhttp%s\nwrite-out = %q\n", version, `done %{http_code} %{http_version} %{num_connects}\n`)
		if i%2 == 0 {
			fmt.Fprintf(&b, "url = \"%s/slow?ms=%d\"\n", base, slowness)
		} else {
			fmt.Fprintf(&b, "url = \"%s/upload\"\ndata = %q\n", base, strings.Repeat("x", i))
		}
	}
	return b.String()
}

var transfer = regexp.MustCompile(`(?m)^done (\d+) (\S+) (\d+)$`)

// visited wants every request of a visit answered, over that version and no more connections than that.
func (r ran) visited(version string, connections int) error {
	if strings.Contains(r.said, "retrying") {
		return r.failed("curl asked again:")
	}
	made, done := 0, transfer.FindAllStringSubmatch(r.out, -1)
	for _, d := range done {
		n, err := strconv.Atoi(d[3])
		if err != nil || d[1] != "200" || d[2] != version {
			return r.failed("%s", d[0])
		}
		made += n
	}
	if len(done) != urls || connections > 0 && made != connections {
		return r.failed("%d answers over %d connections, want %d over %d:", len(done), made, urls, connections)
	}
	for i := 1; i < urls; i += 2 {
		if !strings.Contains(r.out, fmt.Sprintf("\n%d\ndone", i)) {
			return r.failed("no answer to a body of %d bytes:", i)
		}
	}
	if n := strings.Count(r.out, `{"generation":`); n != urls/2 {
		return r.failed("%d answers say who, want %d:", n, urls/2)
	}
	return nil
}

// h2load joins the crowd. Over HTTP/2 a visit ends with the next GOAWAY, and the next one begins at once.
func (z *cage) h2load(c *crowd) {
	logs := z.t.TempDir()
	c.join("h2load, HTTP/2 over TLS", 0, false, func(i int) (int, error) {
		log := filepath.Join(logs, strconv.Itoa(i)) // it would append to one that is there
		r, err := z.run("", "h2load", "-n", "600", "-c", "3", "-m", "5", "--log-file", log, "https://"+z.https+"/slow?ms=20")
		if err != nil {
			return 0, err
		}
		logged, err := os.ReadFile(log)
		if err != nil {
			return 0, err
		}
		report, err := h2load.Read(r.out, string(logged))
		if err == nil && report.Protocol != "h2" {
			err = fmt.Errorf("it speaks %s", report.Protocol)
		}
		if err != nil {
			return report.Answered, r.failed("%w", err)
		}
		return report.Answered, nil
	})
}

// calls are the ways of grpc-go's client that need no server with credentials of its own, but cancel_after_begin: a client that is slow to
// run finds its own cancellation and the server's answer there at once, takes either, and calls the answer a fault.
var calls = []string{
	"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
	"cancel_after_first_response", "custom_metadata", "status_code_and_message", "special_status_message",
	"unimplemented_method", "unimplemented_service",
}

// grpcClient joins the crowd: it checks what it is answered, and ends with an error if that is wrong.
func (z *cage) grpcClient(c *crowd) {
	client := built(z.t, "google.golang.org/grpc/interop/client")
	host, port, err := net.SplitHostPort(z.grpc)
	if err != nil {
		z.t.Fatal(err)
	}
	c.join("gRPC interop client", 0, false, func(i int) (int, error) {
		_, err := z.run("", client, "-server_host", host, "-server_port", port, "-test_case", calls[i%len(calls)])
		return 1, err
	})
}
