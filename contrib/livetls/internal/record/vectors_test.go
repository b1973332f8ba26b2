package record

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"testing"
)

// The trace of RFC 8448, section 3, from the end of the handshake on.
const (
	traceClientSecret = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
	traceServerSecret = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"
	traceContent      = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031"
)

func TestKeysAreThoseOfTheTrace(t *testing.T) {
	s, err := suiteOf(tls.TLS_AES_128_GCM_SHA256)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct{ secret, key, iv string }{
		{traceClientSecret, "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9"},
		{traceServerSecret, "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984"},
	} {
		key, err := s.expand(unhex(t, v.secret), "key", s.keySize)
		if err != nil || hex.EncodeToString(key) != v.key {
			t.Errorf("key %x, %v", key, err)
		}
		if _, iv, err := s.keys(unhex(t, v.secret)); err != nil || hex.EncodeToString(iv) != v.iv {
			t.Errorf("iv %x, %v", iv, err)
		}
	}
}

func TestRecordsOfTheTraceOpenAndSealByteByByte(t *testing.T) {
	type sealed struct {
		typ             byte
		content, record string
	}
	for of, v := range map[string]struct {
		secret  string
		seq     uint64
		records []sealed
	}{
		"client": {traceClientSecret, 0, []sealed{
			{typeApplicationData, traceContent, "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4"},
			{typeAlert, "0100", "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3"},
		}},
		"server": {traceServerSecret, 1, []sealed{ // number 0 was a ticket
			{typeApplicationData, traceContent, "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d"},
			{typeAlert, "0100", "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9"},
		}},
	} {
		opener := half(t, tls.TLS_AES_128_GCM_SHA256, unhex(t, v.secret), v.seq)
		sealer := half(t, tls.TLS_AES_128_GCM_SHA256, unhex(t, v.secret), v.seq)
		for _, want := range v.records {
			record, err := sealer.Seal(nil, want.typ, unhex(t, want.content))
			if err != nil || hex.EncodeToString(record) != want.record {
				t.Errorf("%s: sealed %x, %v", of, record, err)
			}
			typ, content, err := opener.Open(unhex(t, want.record))
			if err != nil || typ != want.typ || !bytes.Equal(content, unhex(t, want.content)) {
				t.Errorf("%s: opened %d, %x, %v", of, typ, content, err)
			}
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
