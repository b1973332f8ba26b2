package hooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// SignatureHeader of a webhook is t=SECONDS,v1=HEX: when it was sent, in seconds since 1970, and HMAC-SHA256 (RFC 2104) by the secret over these
// seconds in decimal, a full stop, and the body.
const SignatureHeader = "Handover-Signature"

// KeyHeader of a webhook has the key of its event. A receiver that has seen the key does nothing again.
const KeyHeader = "Idempotency-Key"

// ErrSignature: a webhook is not from who has the secret, or from another time.
var ErrSignature = errors.New("signature does not match")

// Sign is the value of SignatureHeader for a body sent at a time.
func Sign(secret, body []byte, at time.Time) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac(secret, seconds, body))
}

// Verify is for receivers: it checks the value of SignatureHeader against the body, and that it was signed within tolerance of now. Within that
// time a copy is told by its key. Its error is ErrSignature, or says that there is no signature.
func Verify(secret, body []byte, header string, now time.Time, tolerance time.Duration) error {
	var seconds, signature string
	for part := range strings.SplitSeq(header, ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "t":
			seconds = value
		case "v1":
			signature = value
		}
	}
	at, err := strconv.ParseInt(seconds, 10, 64)
	given, err2 := hex.DecodeString(signature)
	if err != nil || err2 != nil || len(given) == 0 {
		return fmt.Errorf("header %s is %q: want t=SECONDS,v1=HEX", SignatureHeader, header)
	}
	if !hmac.Equal(given, mac(secret, seconds, body)) || now.Sub(time.Unix(at, 0)).Abs() > tolerance {
		return ErrSignature
	}
	return nil
}

func mac(secret []byte, seconds string, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(seconds + "."))
	m.Write(body)
	return m.Sum(nil)
}
