package livetls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/handover-go/handover/contrib/livetls/internal/record"
)

// sample is a connection of which everything is something.
func sample(t testing.TB) *established {
	t.Helper()
	a := newAuthority(t)
	leaf := a.leaf(x509.ExtKeyUsageClientAuth).Leaf
	return &established{
		record: record.State{In: newHalf(t, 1, 7), Out: newHalf(t, 2, 1<<40), Raw: []byte("half a record"), Plain: []byte("GET / HT"), Owes: true},
		tls: tls.ConnectionState{
			Version: tls.VersionTLS13, HandshakeComplete: true, DidResume: true, CipherSuite: tls.TLS_AES_256_GCM_SHA384, NegotiatedProtocol: "http/1.1",
			ServerName: "server.test", CurveID: tls.X25519MLKEM768, HelloRetryRequest: true,
			PeerCertificates: []*x509.Certificate{leaf, a.cert},
		},
		came:  &arrival{fresh: true, age: time.Hour, wait: 5 * time.Second},
		above: &session{"websocket", []byte("its state")},
	}
}

func newHalf(t testing.TB, of byte, seq uint64) *record.Half {
	t.Helper()
	h, err := record.NewHalf(tls.TLS_AES_256_GCM_SHA384, bytes.Repeat([]byte{of}, 48), seq)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestStateTravelsWhole, and nothing of it is the memory that is overwritten then. Guard: decode, "bytes.Clone(raw)".
func TestStateTravelsWhole(t *testing.T) {
	for of, change := range map[string]func(*established){
		"all of it": func(*established) {},
		"next to nothing": func(e *established) {
			*e = established{record: record.State{In: e.record.In, Out: e.record.Out}, tls: tls.ConnectionState{CipherSuite: e.tls.CipherSuite}, came: &arrival{}}
		},
		"an empty state": func(e *established) { e.above.state = nil },
	} {
		e := sample(t)
		change(e)
		state := e.encode()
		got, err := decode(state)
		if err != nil {
			t.Fatalf("%s: %v", of, err)
		}
		clear(state)
		if again := got.encode(); !bytes.Equal(again, e.encode()) {
			t.Errorf("%s: what has arrived is not what was sent", of)
		}
		if !reflect.DeepEqual(got.came, e.came) {
			t.Errorf("%s: %+v", of, got)
		}
		for i, c := range got.tls.PeerCertificates {
			if !c.Equal(e.tls.PeerCertificates[i]) {
				t.Errorf("%s: certificate %d is another", of, i)
			}
		}
		if got.tls.Version != tls.VersionTLS13 || !got.tls.HandshakeComplete || got.record.Raw != nil {
			t.Errorf("%s: %+v", of, got.tls)
		}
		if _, err := got.tls.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
			t.Errorf("%s: keying material is exported", of)
		}
	}
}

// TestStateThatIsNotOneIsRefused: cut anywhere, with something behind it, of another version or suite.
func TestStateThatIsNotOneIsRefused(t *testing.T) {
	whole := sample(t).encode()
	wrong := map[string][]byte{
		"longer": append(bytes.Clone(whole), 0), "another version": change(whole, 0), "another suite": change(whole, 1), "a certificate that is none": change(whole, bytes.Index(whole, []byte{0x30, 0x82})),
	}
	for of, state := range wrong {
		if _, err := decode(state); !errors.Is(err, errState) {
			t.Errorf("%s: %v", of, err)
		}
	}
	for n := range whole {
		if _, err := decode(whole[:n]); !errors.Is(err, errState) {
			t.Fatalf("cut at %d of %d: %v", n, len(whole), err)
		}
	}
}

func change(state []byte, at int) []byte {
	state = bytes.Clone(state)
	state[at] ^= 0x80
	return state
}

func TestClearLeavesNoSecret(t *testing.T) {
	e := sample(t)
	raw, plain, above := e.record.Raw, e.record.Plain, e.above.state
	e.clear()
	if e.record.In.Secret() != nil || e.record.Out.Secret() != nil {
		t.Error("a secret is left")
	}
	for _, b := range [][]byte{raw, plain, above} {
		if bytes.ContainsFunc(b, func(r rune) bool { return r != 0 }) {
			t.Errorf("%q is left", b)
		}
	}
}

// TestStateThatIsNotOneLeavesNoSecret of what was read before that was seen. Guard: read, "e.clear()".
func TestStateThatIsNotOneLeavesNoSecret(t *testing.T) {
	e := sample(t)
	e.tls.PeerCertificates[0] = &x509.Certificate{Raw: []byte("none")}
	wrong := e.encode()
	for n := range len(wrong) + 1 {
		got := new(established)
		if err := got.read(wrong[:n]); err == nil {
			t.Fatalf("%d of %d bytes are read", n, len(wrong))
		}
		for _, h := range []*record.Half{got.record.In, got.record.Out} {
			if h != nil && h.Secret() != nil {
				t.Fatalf("a secret of the first %d bytes is left", n)
			}
		}
		if got.above != nil && bytes.ContainsFunc(got.above.state, func(r rune) bool { return r != 0 }) || bytes.ContainsFunc(got.record.Plain, func(r rune) bool { return r != 0 }) {
			t.Fatalf("content of the first %d bytes is left", n)
		}
	}
}

// FuzzDecode: whatever a peer sends is refused, or is one that could have been sent.
func FuzzDecode(f *testing.F) {
	f.Add(sample(f).encode())
	f.Add([]byte{version})
	f.Fuzz(func(t *testing.T, state []byte) {
		e, err := decode(state)
		if err != nil {
			return
		}
		if again, err := decode(e.encode()); err != nil || !bytes.Equal(again.encode(), e.encode()) {
			t.Errorf("one that was decoded cannot be sent: %v", err)
		}
	})
}
