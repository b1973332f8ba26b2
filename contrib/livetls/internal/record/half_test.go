package record

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestHalfRefusesUnknownSuitesAndSecretsOfAnotherLength(t *testing.T) {
	for _, id := range []uint16{0, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 0x1304} {
		if _, err := NewHalf(id, make([]byte, 32), 0); err == nil {
			t.Errorf("suite %#x was taken", id)
		}
	}
	eachSuite(t, func(t *testing.T, id uint16) {
		for _, size := range []int{0, 16, 31, 33, 47, 49, 64} {
			if _, err := NewHalf(id, make([]byte, size), 0); err == nil {
				t.Errorf("%d bytes were taken", size)
			}
		}
	})
}

func TestSequenceNumbersNeverWrap(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		s := secret(t, id, 'x')
		sealer, opener := half(t, id, s, math.MaxUint64-1), half(t, id, s, math.MaxUint64-1)
		record, err := sealer.Seal(nil, typeApplicationData, []byte("last"))
		if err != nil {
			t.Fatal(err)
		}
		if !opener.Opens(record) {
			t.Error("the last record does not open")
		}
		if _, _, err := opener.Open(record); err != nil {
			t.Error(err)
		}
		dst := []byte("before")
		if got, err := sealer.Seal(dst, typeApplicationData, []byte("one more")); !errors.Is(err, ErrExhausted) || !bytes.Equal(got, dst) {
			t.Errorf("sealed %q, %v", got, err)
		}
		if _, _, err := opener.Open(record); !errors.Is(err, ErrExhausted) {
			t.Errorf("opened: %v", err)
		}
		if sealer.Seq() != math.MaxUint64 {
			t.Errorf("number %d", sealer.Seq())
		}
	})
}

func TestOpensChangesNothing(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		s := secret(t, id, 'x')
		sealer, opener := half(t, id, s, 5), half(t, id, s, 5)
		record, err := sealer.Seal(nil, typeHandshake, make([]byte, 300))
		if err != nil {
			t.Fatal(err)
		}
		before := slices.Clone(record)
		for range 2 {
			if !opener.Opens(record) || opener.Seq() != 5 || !bytes.Equal(record, before) {
				t.Fatal("it does not open, or has changed")
			}
		}
		other := half(t, id, s, 6)
		for what, is := range map[string]bool{
			"another number": other.Opens(record),
			"a part":         opener.Opens(record[:len(record)-1]),
			"nothing":        opener.Opens(nil),
			"a header":       opener.Opens(record[:headerSize]),
			"more":           opener.Opens(append(slices.Clone(record), 0)),
			"another type":   opener.Opens(append([]byte{22}, record[1:]...)),
		} {
			if is {
				t.Errorf("%s opens", what)
			}
		}
		if _, _, err := opener.Open(record); err != nil {
			t.Error(err)
		}
	})
}

func TestNothingOfAnUnauthenticRecordIsToBeSeen(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		s := secret(t, id, 'x')
		content := []byte("a content of more than two blocks, so that some would be seen")
		record, err := half(t, id, s, 0).Seal(nil, typeApplicationData, content)
		if err != nil {
			t.Fatal(err)
		}
		record[len(record)-1] ^= 1
		opener := half(t, id, s, 0)
		if _, got, err := opener.Open(record); !errors.Is(err, alertBadRecordMAC) || got != nil || opener.Seq() != 0 {
			t.Errorf("%q, %v, then number %d", got, err, opener.Seq())
		}
		if bytes.Contains(record, content[:8]) || bytes.Contains(record, content[32:40]) {
			t.Error("the content stands where it was opened")
		}
	})
}

func TestNextSecretsAgreeAndTheOldIsGone(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		s := secret(t, id, 'x')
		a, b := half(t, id, s, 7), half(t, id, s, 9)
		for range 3 {
			old := a.Secret()
			if a.Next() != nil || b.Next() != nil || a.Seq() != 0 || bytes.Equal(a.Secret(), old) || !bytes.Equal(a.Secret(), b.Secret()) {
				t.Fatal("the next secrets do not agree")
			}
			record, err := a.Seal(nil, typeApplicationData, []byte("hello"))
			if err != nil {
				t.Fatal(err)
			}
			if _, got, err := b.Open(record); err != nil || string(got) != "hello" {
				t.Fatalf("%q, %v", got, err)
			}
			if bytes.Contains(a.secret[:], old) {
				t.Fatal("the old secret is still there")
			}
		}
	})
}

func TestClearedHalfDoesNothing(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		h := half(t, id, secret(t, id, 'x'), 3)
		record, err := h.Seal(nil, typeApplicationData, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		h.Clear()
		if h.secret != [maxSecretSize]byte{} || h.iv != [nonceSize]byte{} || h.Secret() != nil || h.aead != nil {
			t.Error("something of the secret is left")
		}
		if _, err := h.Seal(nil, typeApplicationData, nil); !errors.Is(err, ErrCleared) {
			t.Errorf("Seal: %v", err)
		}
		if _, _, err := h.Open(record); !errors.Is(err, ErrCleared) || h.Opens(record) {
			t.Errorf("Open: %v", err)
		}
		if err := h.Next(); !errors.Is(err, ErrCleared) {
			t.Errorf("Next: %v", err)
		}
	})
}

func TestSecretIsNotPrinted(t *testing.T) {
	h := half(t, tls.TLS_AES_128_GCM_SHA256, secret(t, tls.TLS_AES_128_GCM_SHA256, 'q'), 3)
	s := State{In: h, Out: h}
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	printed := string(asJSON)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		printed += fmt.Sprintf(verb+verb+verb, h, s, &s)
	}
	for _, leak := range []string{"qqqq", hex.EncodeToString([]byte("qqqq")), "113 113", "0x71"} {
		if strings.Contains(printed, leak) {
			t.Errorf("%q is printed", leak)
		}
	}
}
