package examples_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/handover-go/handover/handovertest"
)

// TestZooAnswersEveryKindOfTrafficAcrossUpgrades has one client of each kind ask all the time, on one connection as long as its
// protocol lets it live on, while the zoo is replaced. Nobody retries.
func TestZooAnswersEveryKindOfTrafficAcrossUpgrades(t *testing.T) {
	web, secure, rpc, lines := handovertest.FreeAddress(t), handovertest.FreeAddress(t), handovertest.FreeAddress(t), handovertest.FreeAddress(t)
	datagrams, path := handovertest.FreeAddress(t), filepath.Join(t.TempDir(), "s")
	service := handovertest.Start(t, handovertest.Service{
		Path:    handovertest.Build(t, "./zoo"),
		Args:    []string{"-http", web, "-https", secure, "-grpc", rpc, "-tcp", lines, "-udp", datagrams, "-unix", path},
		Env:     []string{"HANDOVER_PROBATION=200ms", "GORACE=atexit_sleep_ms=0"},
		Address: web, Who: func(ctx context.Context) (int, error) { return inhabitant(ctx, web) },
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := grpc.NewClient(rpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	visitors := map[string]func(i int) error{
		"HTTP":      plainly(t, "http://"+web+"/"),
		"WebSocket": messages(t, ctx, "ws://"+web+"/ws"),
		"HTTPS":     plainly(t, "https://"+secure+"/"),
		"TCP":       countedLines(t, "tcp", lines),
		"unix":      countedLines(t, "unix", path),
		"UDP":       echoes(t, datagrams),
		"gRPC": func(int) error {
			_, err := testgrpc.NewTestServiceClient(conn).EmptyCall(ctx, &testgrpc.Empty{})
			return err
		},
	}
	over := make(chan struct{})
	var visiting sync.WaitGroup
	for kind, visit := range visitors {
		visiting.Go(func() {
			n := 0
			for {
				select {
				case <-over:
					t.Logf("%-9s %d answers", kind, n)
					return
				default:
				}
				if n++; ctx.Err() != nil {
					t.Errorf("%s: %v", kind, ctx.Err())
					return
				}
				if err := visit(n); err != nil {
					t.Errorf("%s: visit %d: %v", kind, n, err)
					return
				}
			}
		})
	}
	service.Upgrade(5)
	close(over)
	visiting.Wait()
}

func inhabitant(ctx context.Context, address string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct{ Generation, PID int }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Generation < 1 || answer.PID < 1 {
		return 0, fmt.Errorf("answer %+v", answer)
	}
	return answer.PID, nil
}

// plainly asks by HTTP, over a connection that is kept. A POST is never sent twice by net/http.
func plainly(t *testing.T, url string) func(int) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return func(i int) error {
		body := strings.Repeat("x", i%1000)
		request, err := http.NewRequest(http.MethodPost, url+"upload", io.NopCloser(strings.NewReader(body)))
		if err != nil {
			return err
		}
		request.ContentLength = int64(len(body))
		if len(body) == 0 {
			request.Body = http.NoBody
		}
		resp, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		said, err := io.ReadAll(resp.Body)
		return errors.Join(err, same(string(said), fmt.Sprintf("%d\n", len(body))))
	}
}

// countedLines asks on one connection, for as long as the test lasts: the count neither jumps nor begins anew.
func countedLines(t *testing.T, network, address string) func(int) error {
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	in := bufio.NewReader(c)
	return func(i int) error {
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err := io.WriteString(c, "hello\n"); err != nil {
			return err
		}
		line, err := in.ReadString('\n')
		return errors.Join(err, same(line, fmt.Sprintf("%d hello\n", i)))
	}
}

// messages is the same over a WebSocket.
func messages(t *testing.T, ctx context.Context, url string) func(int) error {
	c, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return func(i int) error {
		if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
			return err
		}
		_, message, err := c.Read(ctx)
		return errors.Join(err, same(string(message), fmt.Sprintf("%d hello", i)))
	}
}

// echoes sends one datagram after the other.
func echoes(t *testing.T, address string) func(int) error {
	c, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	answer := make([]byte, 100)
	return func(i int) error {
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c, "datagram %d", i); err != nil {
			return err
		}
		n, err := c.Read(answer)
		_, said, _ := strings.Cut(string(answer[:n]), " ")
		return errors.Join(err, same(said, fmt.Sprintf("datagram %d", i)))
	}
}

func same(got, want string) error {
	if got != want {
		return fmt.Errorf("answered %q, want %q", got, want)
	}
	return nil
}
