package handover

import (
	"errors"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
)

// TestNewThatFailsLetsGoOfItsLinks: whoever started the process is not to wait for it. Guard: disown in New.
func TestNewThatFailsLetsGoOfItsLinks(t *testing.T) {
	var ends []*platform.Socket
	for _, variable := range []string{linkVariable, keeperVariable} {
		ours, theirs, err := platform.SocketPair()
		if err != nil {
			t.Fatal(err)
		}
		fd, err := platform.FD(theirs)
		if err != nil {
			t.Fatal(err)
		}
		if fd, err = platform.Duplicate(fd); err != nil {
			t.Fatal(err)
		}
		_ = theirs.Close()
		t.Setenv(variable, strconv.Itoa(fd))
		ends = append(ends, ours)
	}
	if p, err := New(t.Context(), Config{Probation: -time.Second}); err == nil {
		t.Fatalf("a negative probation makes %v", p)
	}
	for _, end := range ends {
		link := peer.NewLink(end)
		defer link.Close()
		_ = link.SetReceiveDeadline(time.Now().Add(10 * time.Second))
		if _, err := link.Receive(); !errors.Is(err, io.EOF) {
			t.Errorf("the other end of a link: %v", err)
		}
	}
}
