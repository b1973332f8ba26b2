package wire

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

// rig is a link under test and the bare other end of its transport.
type rig struct {
	link *Link
	near *memory
	far  *memory
	ledger
	sent []int // descriptors
}

// patience bounds every Receive of a test whose link does not do what it should.
const patience = 4 * SendTimeout

// newRig also checks, when the test ends, that every descriptor sent was delivered or closed, and once.
func newRig(t testing.TB) *rig {
	r := new(rig)
	r.near, r.far = newPair(r.destroy)
	r.link = NewLink(r.near, r.close)
	setDeadline := func(at time.Time) {
		if err := r.link.SetReceiveDeadline(at); err != nil {
			t.Fatal(err)
		}
	}
	setDeadline(time.Now().Add(patience))
	t.Cleanup(func() {
		setDeadline(time.Time{})
		_ = r.link.Close()
		r.link.Discard()
		r.check(t, r.sent)
	})
	return r
}

// feed sends bytes to the link, and descriptors on the first of them.
func (r *rig) feed(t testing.TB, p []byte, fds ...int) {
	t.Helper()
	r.sent = append(r.sent, fds...)
	if err := r.far.Send(p, fds); err != nil {
		t.Fatal(err)
	}
}

// want receives a frame and compares it.
func (r *rig) want(t testing.TB, attempt uint32, m Message, fds ...int) {
	t.Helper()
	f, err := r.link.Receive()
	if err != nil {
		t.Fatalf("receive: %v, want %s", err, m.Kind())
	}
	r.deliver(f.Descriptors)
	if f.Lost {
		t.Errorf("%s: its descriptors were lost", m.Kind())
	}
	if f.Attempt != attempt || !same(f.Message, m) || !slices.Equal(f.Descriptors, fds) {
		t.Fatalf("received attempt %d, %+v with descriptors %v\nwant attempt %d, %+v with %v",
			f.Attempt, f.Message, f.Descriptors, attempt, m, fds)
	}
}

// wantLost receives a frame whose descriptors did not arrive.
func (r *rig) wantLost(t testing.TB, m Message) {
	t.Helper()
	f, err := r.link.Receive()
	if err != nil {
		t.Fatalf("receive: %v, want %s", err, m.Kind())
	}
	if !same(f.Message, m) || !f.Lost || len(f.Descriptors) > 0 {
		t.Fatalf("received %+v with descriptors %v, lost %t; want %+v, lost", f.Message, f.Descriptors, f.Lost, m)
	}
}

// wantError receives nothing but an error.
func (r *rig) wantError(t testing.TB, want error) {
	t.Helper()
	f, err := r.link.Receive()
	if !errors.Is(err, want) {
		t.Fatalf("received %+v, %v; want error %v", f.Message, err, want)
	}
	if f.Descriptors != nil {
		t.Errorf("descriptors %v came with the error %v", f.Descriptors, err)
	}
}

// frame lays out a frame by hand, so that it may be wrong.
func frame(h header, payload string) []byte {
	h.length = len(payload)
	return append(h.append(nil), payload...)
}

// encoded lays out a frame as Send does.
func encoded(t testing.TB, attempt uint32, m Message, descriptors int) []byte {
	t.Helper()
	payload, err := encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return frame(header{kind: m.Kind(), attempt: attempt, descriptors: descriptors}, string(payload))
}

// same compares messages as peers see them: an empty list and none are one on the wire.
func same(a, b Message) bool {
	return a != nil && b != nil && a.Kind() == b.Kind() && sameValue(reflect.ValueOf(a), reflect.ValueOf(b))
}

func sameValue(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return sameValue(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if !sameValue(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if a.Type().Elem().Kind() == reflect.Uint8 {
			return bytes.Equal(a.Bytes(), b.Bytes())
		}
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !sameValue(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		return a.Len() == 0 && b.Len() == 0 || reflect.DeepEqual(a.Interface(), b.Interface())
	default:
		return a.Interface() == b.Interface()
	}
}
