package traffic

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/contrib/livetls"
)

// Sessions has sessions of lines answered by "COUNT LINE", COUNT being of the session, whatever generations it goes through. Some
// lines are more than lines:
//
//	who      is answered by "COUNT PID"
//	pad N    makes the session's state N bytes long
//	stay     has the handler never let go
//	crash    ends the process with status 3
func Sessions(p *handover.Process) error { return p.Sessions(lineSessions, serveLines) }

// AcceptSessions listens at each of the addresses, written "tcp:127.0.0.1:0 unix:/path", for what [Sessions] serves: "tls:tcp:127.0.0.1:0" over TLS, with
// the certificate in $TLS_CERT and $TLS_KEY.
func AcceptSessions(ctx context.Context, p *handover.Process, addresses string) error {
	for _, at := range strings.Fields(addresses) {
		at, secure := strings.CutPrefix(at, "tls:")
		network, address, _ := strings.Cut(at, ":")
		ln, err := p.Listen(ctx, network, address)
		if err != nil {
			return err
		}
		if secure {
			if ln, err = secureSessions(p, ln); err != nil {
				return err
			}
		}
		go acceptSessions(p, ln)
	}
	return nil
}

const lineSessions = "lines"

// secureSessions has sessions over TLS go on in the next generation.
func secureSessions(p *handover.Process, ln net.Listener) (net.Listener, error) {
	pair, err := tls.LoadX509KeyPair(os.Getenv("TLS_CERT"), os.Getenv("TLS_KEY"))
	if err != nil {
		return nil, err
	}
	return livetls.Listen(p, ln, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"lines"}})
}

// acceptSessions ends, as the listener does, when another generation serves for good.
func acceptSessions(p *handover.Process, ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				slog.Error("sessions are accepted no more", "error", err)
			}
			return
		}
		go func() {
			if err := p.ServeSession(lineSessions, c, nil); err != nil {
				slog.Debug("session ended", "error", err)
			}
		}()
	}
}

// lineState is what a session of lines takes along.
type lineState struct {
	count int
	pad   int
}

func (l *lineState) parse(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := fmt.Sscan(string(b), &l.count, &l.pad)
	return err
}

func (l *lineState) format() []byte {
	b := fmt.Appendf(nil, "%d %d ", l.count, l.pad)
	for len(b) < l.pad {
		b = append(b, ' ')
	}
	return b
}

func serveLines(s *handover.Session) error {
	var l lineState
	if err := l.parse(s.State()); err != nil {
		return err
	}
	stays := false
	in := bufio.NewReader(s)
	for {
		err := s.Wait(in.Buffered())
		switch {
		case errors.Is(err, handover.ErrLetGo) && stays:
			slog.Debug("session stays", "count", l.count)
			continue
		case errors.Is(err, handover.ErrLetGo):
			unread, _ := in.Peek(in.Buffered())
			if err = s.LetGo(l.format(), unread); err == nil {
				return nil
			}
			slog.Warn("session not let go", "error", err)
			continue
		case err != nil:
			return err
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		l.count++
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "who":
			line = strconv.Itoa(os.Getpid())
		case "pad":
			l.pad, _ = strconv.Atoi(rest)
		case "stay":
			stays = true
		case "crash":
			os.Exit(3)
		}
		if _, err := fmt.Fprintf(s, "%d %s\n", l.count, line); err != nil {
			return err
		}
	}
}
