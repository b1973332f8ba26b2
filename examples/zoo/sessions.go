package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/handover-go/handover"
)

// The kinds name the protocol and the format of the state.
const (
	linesKind     = "lines/1"
	webSocketKind = "websocket/1"
)

// maxMessage bounds what a client can make the service hold, in bytes.
const maxMessage = 1 << 20

func acceptLines(p *handover.Process, ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return // another generation serves for good
		}
		go p.ServeSession(linesKind, conn, nil) //nolint:errcheck // how a client leaves is no news
	}
}

// answerLines begins where the generation before let go.
func answerLines(s *handover.Session) error {
	count, _ := strconv.Atoi(string(s.State()))
	in := bufio.NewReader(s)
	for {
		if err := s.Wait(in.Buffered()); errors.Is(err, handover.ErrLetGo) {
			unread, _ := in.Peek(in.Buffered())
			return s.LetGo([]byte(strconv.Itoa(count)), unread)
		} else if err != nil {
			return err
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		count++
		if _, err := fmt.Fprintf(s, "%d %s", count, line); err != nil {
			return err
		}
	}
}

// echoMessages does the same for WebSockets. Frames are read from the session itself: nothing is hidden in a buffer.
func echoMessages(s *handover.Session) error {
	count, _ := strconv.Atoi(string(s.State()))
	control := wsutil.ControlFrameHandler(s, ws.StateServerSide)
	r := &wsutil.Reader{Source: s, State: ws.StateServerSide, OnIntermediate: control, MaxFrameSize: maxMessage}
	for {
		if err := s.Wait(0); errors.Is(err, handover.ErrLetGo) {
			return s.LetGo([]byte(strconv.Itoa(count)), nil)
		} else if err != nil {
			return err
		}
		h, err := r.NextFrame()
		if err != nil {
			return err
		}
		if h.OpCode.IsControl() {
			if err := control(h, r); err != nil {
				return err
			}
			continue
		}
		message, err := io.ReadAll(io.LimitReader(r, maxMessage))
		if err != nil {
			return err
		}
		count++
		if err := wsutil.WriteServerText(s, fmt.Appendf(nil, "%d %s", count, message)); err != nil {
			return err
		}
	}
}
