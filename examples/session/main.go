// Command session answers each line of a raw TCP connection by "COUNT LINE", and goes on counting whatever build it is replaced by: the
// connection moves to the next generation, with its count, between two lines. Build it anew at the same path, send SIGUSR2, and type on.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/handover-go/handover"
)

// kind names the protocol and the format of the state: a build that writes its state otherwise uses another name.
const kind = "lines/1"

func main() {
	if err := serve(context.Background(), cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080")); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, address string) error {
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		return err
	}
	ln, err := p.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if err := p.Sessions(kind, answer); err != nil {
		return err
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // another generation serves for good
			}
			go p.ServeSession(kind, conn, nil) //nolint:errcheck // how a client leaves is no news
		}
	}()
	return p.Run(ctx)
}

// answer begins where the generation before let go.
func answer(s *handover.Session) error {
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
