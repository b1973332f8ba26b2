//go:build debian

package loss

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/handover-go/handover/test/internal/apart"
)

// TestMain runs the tests in a network of their own.
func TestMain(m *testing.M) { apart.Run(m, apart.Network, setUp) }

// setUp makes the loopback device one that packets of a usual size cross one by one, and has rules for it.
func setUp() error {
	for _, args := range [][]string{
		{"ip", "link", "set", "lo", "mtu", "1500", "gso_max_segs", "1", "up"},
		{"nft", "add", "table", "ip", "loss"},
		{"nft", "add", "chain", "ip", "loss", "input", "{ type filter hook input priority 0; }"},
	} {
		if _, err := command(args...); err != nil {
			return err
		}
	}
	return nil
}

func command(args ...string) (said string, err error) {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// lose drops so many of a hundred packets that go from or to a port, in either direction, until the test ends. The returned function
// tells how many it was, of how many.
func lose(t *testing.T, port string, percent int) (lost func() (dropped, all int)) {
	t.Helper()
	nft := func(args ...string) string {
		t.Helper()
		said, err := command(append([]string{"nft"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	for _, direction := range []string{"dport", "sport"} {
		nft("add", "rule", "ip", "loss", "input", "tcp", direction, port, "counter", "numgen", "random", "mod", "100", "<", strconv.Itoa(percent), "counter", "drop")
	}
	return func() (dropped, all int) {
		t.Helper()
		for line := range strings.Lines(nft("list", "chain", "ip", "loss", "input")) {
			if counts := packets.FindAllStringSubmatch(line, -1); strings.Contains(line, "port "+port+" ") && len(counts) == 2 {
				seen, _ := strconv.Atoi(counts[0][1])
				gone, _ := strconv.Atoi(counts[1][1])
				all, dropped = all+seen, dropped+gone
			}
		}
		return dropped, all
	}
}

var packets = regexp.MustCompile(`counter packets (\d+)`)
