//go:build debian

package traffic

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/secured"
)

// patience bounds every run of a client: none comes near it unless something is lost.
const patience = time.Minute

// service is one whose clients are commands. Without TLS it speaks HTTP/2 if env says so.
type service struct {
	*secured.Service
	t *testing.T
}

func start(t *testing.T, env ...string) *service {
	t.Helper()
	return &service{secured.Start(t, env...), t}
}

// client runs a command while the service is upgraded again and again, and returns what it said and how many upgrades there
// were. It fails the test if the command does.
func (s *service) client(input string, name string, args ...string) (output string, upgrades int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	pause := time.NewTicker(400 * time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				s.t.Fatalf("%s: %v\n%s", name, err, &out)
			}
			return out.String(), upgrades
		case <-pause.C:
			s.Upgrade(1)
			upgrades++
		}
	}
}
