//go:build linux

package faults

import (
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// soon waits for up to d, and reports false when it is over.
func soon(over <-chan struct{}, random *rand.Rand, d time.Duration) bool {
	timer := time.NewTimer(upTo(random, d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-over:
		return false
	}
}

// signals sends every process of the service upgrade signals, a hundred at most.
func (r *round) signals(over <-chan struct{}, random *rand.Rand) {
	for range 100 {
		if !soon(over, random, 10*time.Millisecond) {
			return
		}
		for _, p := range r.Family() {
			// Before New, the signal ends any Go program.
			if p.State != "Z" && r.catches(p.PID) {
				_ = syscall.Kill(p.PID, syscall.SIGUSR2)
			}
		}
	}
}

// enemies talk to the takeover socket, each in its own wrong way.
func (r *round) enemies(over <-chan struct{}, random *rand.Rand) {
	path := filepath.Join(r.dir, "shop.sock")
	var silent []net.Conn
	defer func() {
		for _, c := range silent {
			c.Close()
		}
	}()
	for soon(over, random, 20*time.Millisecond) {
		c, err := net.Dial("unix", path)
		if err != nil {
			continue // between two owners, or out of descriptors
		}
		c.SetDeadline(time.Now().Add(time.Second))
		if random.IntN(8) == 0 && len(silent) < 20 {
			silent = append(silent, c)
			continue
		}
		c.Write(r.nonsense(random))
		if random.IntN(3) == 0 {
			rights := syscall.UnixRights(slices.Repeat([]int{1}, 1+random.IntN(200))...)
			c.(*net.UnixConn).WriteMsgUnix([]byte{0}, rights, nil)
		}
		if random.IntN(2) == 0 {
			c.Read(make([]byte, 100))
		}
		c.Close()
	}
}

// nonsense is a frame, with more or less of it wrong.
func (r *round) nonsense(random *rand.Rand) []byte {
	b := []byte("HOVR")
	kind := wire.Kind(1 + random.IntN(40))
	if random.IntN(2) == 0 {
		kind = wire.KindHello
	}
	payload := pick(random, "", "{", "{}", "[]", `{"!x":1}`, `{"role":"successor","pid":1,"protocol":{"min":1,"max":1}}`, `{"role":"keeper"}`)
	length := len(payload) + pick(random, 0, 0, 0, 1, 1<<20)
	b = append(b, byte(kind>>8), byte(kind), byte(random.IntN(2)), byte(random.IntN(256)), 0, 0, 0, byte(random.IntN(3)))
	b = append(b, byte(length>>24), byte(length>>16), byte(length>>8), byte(length))
	b = append(b, payload...)
	if random.IntN(3) == 0 {
		b[random.IntN(len(b))] ^= 1 << random.IntN(8)
	}
	return b[:len(b)-random.IntN(4)]
}

// stops has processes of the service stand still for 5 to 20 ms, one after the other.
func (r *round) stops(over <-chan struct{}, random *rand.Rand) {
	for goesOn := true; goesOn; {
		for _, p := range r.Family() {
			if p.State == "Z" || random.IntN(2) == 0 || syscall.Kill(p.PID, syscall.SIGSTOP) != nil {
				continue
			}
			<-time.After(5*time.Millisecond + upTo(random, 15*time.Millisecond))
			_ = syscall.Kill(p.PID, syscall.SIGCONT)
		}
		goesOn = soon(over, random, 20*time.Millisecond)
	}
}
