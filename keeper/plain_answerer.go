package keeper

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// asked is a connection to the service of which it can be told who answers it: both generations accept from one queue.
type asked struct {
	net.Conn
	answerer func() int // which of the generations is at the other end, once it has answered; 0 for none
}

// askAt connects to the service. roots are the generations that may answer.
func askAt(ctx context.Context, spec wire.Listener, roots []int) (*asked, error) {
	conn, err := dial(ctx, spec)
	if err != nil {
		return nil, err
	}
	if u, ok := conn.(*net.UnixConn); ok {
		return askUnix(u, roots)
	}
	root, err := accepted(ctx, conn, roots)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &asked{conn, func() int { return root }}, nil
}

// The pauses between two looks at who has accepted: the kernel tells nobody of it.
const (
	firstLook = time.Millisecond
	lastLook  = 50 * time.Millisecond

	// placing is longer than a kernel takes from making an accepted socket known to giving it a descriptor.
	placing = time.Second
)

// accepted waits until a process has accepted a TCP connection, and tells which of roots it belongs to; 0 if to none. It must
// be asked before the request is complete: the other end may be closed as soon as that was answered.
func accepted(ctx context.Context, conn net.Conn, roots []int) (root int, err error) {
	var seen time.Time
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		inode, err := inodeAccepted(conn)
		if err != nil {
			return 0, err
		}
		if inode != "" {
			if root, err := holder(inode, roots); root != 0 || err != nil {
				return root, err
			}
			if seen.IsZero() {
				seen = time.Now()
			} else if time.Since(seen) > placing {
				return 0, nil
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return 0, fmt.Errorf("the connection was not accepted: %w", ctx.Err())
		}
	}
}

// inodeAccepted finds the other end of a connection within this host; empty as long as nobody has accepted it. A kernel
// without sock_diag(7) has tables in /proc/net (proc_pid_net(5)), which take long to read on a host with many connections.
func inodeAccepted(conn net.Conn) (inode string, err error) {
	ours, theirs := addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())
	if inode, err := platform.AcceptedInode(theirs, ours); err == nil {
		return inode, nil
	}
	return inodeInTables(theirs, ours)
}

func inodeInTables(local, remote netip.AddrPort) (inode string, err error) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if errors.Is(err, os.ErrNotExist) {
			continue // a host without IPv6
		}
		if err != nil {
			return "", err
		}
		inode, err = inodeIn(f, local, remote)
		_ = f.Close()
		if err != nil || inode != "" {
			return inode, err
		}
	}
	return "", nil
}

func inodeIn(table *os.File, local, remote netip.AddrPort) (string, error) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[9] == "0" {
			continue
		}
		if kernelAddr(fields[1]) == local && kernelAddr(fields[2]) == remote {
			return fields[9], nil
		}
	}
	return "", lines.Err()
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}

// kernelAddr reads an address of /proc/net/tcp: words of 32 bits in the host's order, and the port, in hexadecimal.
func kernelAddr(s string) netip.AddrPort {
	host, port, _ := strings.Cut(s, ":")
	words, err := hex.DecodeString(host)
	number, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil || len(words)%4 != 0 {
		return netip.AddrPort{}
	}
	for i := 0; i < len(words); i += 4 {
		binary.NativeEndian.PutUint32(words[i:], binary.BigEndian.Uint32(words[i:]))
	}
	addr, _ := netip.AddrFromSlice(words)
	return netip.AddrPortFrom(addr.Unmap(), uint16(number))
}

// askUnix has the kernel name who writes to a unix connection.
func askUnix(conn *net.UnixConn, roots []int) (*asked, error) {
	if err := platform.PassCredentials(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	n := &named{UnixConn: conn, roots: roots}
	return &asked{n, func() int { return int(n.root.Load()) }}, nil
}

// named is a unix connection that notes who wrote last.
type named struct {
	*net.UnixConn
	roots []int
	root  atomic.Int64
}

func (n *named) Read(p []byte) (int, error) {
	control := make([]byte, platform.CredentialsSpace())
	size, controls, _, _, err := n.ReadMsgUnix(p, control)
	if err != nil {
		return 0, err // size is negative
	}
	pid := platform.Sender(control[:controls])
	for _, root := range n.roots { // at once: a process for one connection ends with it
		if descends(pid, root) {
			n.root.Store(int64(root))
			break // another may be the parent of this one
		}
	}
	return size, nil
}
