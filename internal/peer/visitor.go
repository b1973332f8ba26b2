package peer

import (
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/takeover"
	"github.com/handover-go/handover/internal/wire"
)

// Visitor is who has said HELLO at a takeover socket, and may.
type Visitor struct {
	Link     *wire.Link
	Hello    *wire.Hello
	Features []string
	ours     wire.Hello
	creds    platform.Credentials
	frame    wire.Frame
}

// helloTimeout bounds the wait for a visitor's HELLO.
const helloTimeout = 10 * time.Second

// Welcome reads the HELLO of whoever connected to a takeover socket. Whom this process cannot take part with is told why, and
// the error says it again. It takes over the socket; the link it returns is the caller's, and so is what rode on HELLO, until
// Prove or Dismiss.
func Welcome(socket *platform.Socket, ours wire.Hello, began func(*wire.Link)) (*Visitor, error) {
	v := &Visitor{Link: NewLink(socket), ours: ours}
	began(v.Link)
	if err := v.listen(socket); err != nil {
		v.Close()
		return nil, err
	}
	_ = v.Link.SetReceiveDeadline(time.Time{})
	return v, nil
}

func (v *Visitor) listen(socket *platform.Socket) (err error) {
	if v.creds, err = takeover.Trusted(socket); err != nil {
		v.Deny(0, wire.CodeDenied, err)
		return err
	}
	_ = v.Link.SetReceiveDeadline(time.Now().Add(helloTimeout))
	f, err := v.Link.Receive()
	hello, ok := f.Message.(*wire.Hello)
	if errors.Is(err, wire.ErrCritical) {
		if !ok {
			hello = &wire.Hello{Protocol: wire.Protocols}
		}
		err = &wire.UnsupportedError{
			Reason: err.Error(), Ours: wire.Protocols, OurBuild: v.ours.Build, Theirs: hello.Protocol, TheirBuild: hello.Build,
		}
		v.Deny(0, wire.CodeUnsupported, err)
		return err
	}
	v.frame, v.Hello = f, hello
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: it begins with %s", wire.ErrMalformed, f.Kind())
	}
	if _, v.Features, err = wire.Negotiate(v.ours, *hello); err != nil {
		v.Deny(0, wire.CodeUnsupported, err)
	}
	return err
}

// Deny tells the visitor that what it wants cannot be.
func (v *Visitor) Deny(attempt int, code wire.Code, err error) {
	_ = v.Link.Send(uint32(attempt), &wire.Abort{Code: code, Reason: err.Error(), Protocol: wire.Protocols, Build: v.ours.Build})
}

// Dismiss closes what rode on HELLO: a visitor that only asks needs to prove nothing.
func (v *Visitor) Dismiss() { CloseDescriptors(&v.frame) }

// Prove makes a peer of the visitor, with the pidfd that came with HELLO, which must be of the process that the kernel names
// and that can be fenced from here. On error the visitor has been told why.
func (v *Visitor) Prove() (*Peer, error) {
	proof, err := v.proof()
	if err != nil {
		err = fmt.Errorf("%w: %w", takeover.ErrUntrusted, err)
		v.Deny(0, wire.CodeDenied, err)
		return nil, err
	}
	return &Peer{
		Link: v.Link, Process: Stranger(proof), Generation: v.Hello.Generation,
		Build: v.Hello.Build, Protocol: v.Hello.Protocol, Features: v.Features,
	}, nil
}

func (v *Visitor) proof() (*platform.Pidfd, error) {
	if len(v.frame.Descriptors) != 1 {
		v.Dismiss()
		return nil, errors.New("HELLO came without a pidfd")
	}
	proof, err := platform.PidfdFromFD(v.frame.Descriptors[0])
	v.frame.Descriptors = nil
	if err != nil {
		return nil, err
	}
	if proof.PID() != v.creds.PID {
		err = fmt.Errorf("the pidfd is of process %d, the link of process %d", proof.PID(), v.creds.PID)
	} else if err = proof.Signalable(); err != nil {
		err = fmt.Errorf("process %d could not be fenced: %w", v.creds.PID, err)
	}
	if err != nil {
		_ = proof.Close()
		return nil, err
	}
	return proof, nil
}

// Close ends the visit.
func (v *Visitor) Close() {
	v.Dismiss()
	v.Link.Discard()
	_ = v.Link.Close()
}
