package record

import (
	"crypto/tls"
	"net"
)

// Alerts (RFC 8446, 6). A [tls.AlertError] knows the names of all.
const (
	alertCloseNotify       tls.AlertError = 0
	alertUnexpectedMessage tls.AlertError = 10
	alertBadRecordMAC      tls.AlertError = 20
	alertRecordOverflow    tls.AlertError = 22
	alertIllegalParameter  tls.AlertError = 47
	alertDecodeError       tls.AlertError = 50
	alertProtocolVersion   tls.AlertError = 70
	alertInternalError     tls.AlertError = 80
	alertUserCanceled      tls.AlertError = 90
)

// Levels mean nothing in TLS 1.3, but stand there.
const (
	levelWarning = 1
	levelFatal   = 2
)

// alertContent is the alert as it is sent.
func alertContent(a tls.AlertError) []byte {
	if a == alertCloseNotify {
		return []byte{levelWarning, byte(a)}
	}
	return []byte{levelFatal, byte(a)}
}

// sent and received are the errors that an alert leaves behind, in the shape that those of crypto/tls have.
func sent(a tls.AlertError) error     { return &net.OpError{Op: "local error", Err: a} }
func received(a tls.AlertError) error { return &net.OpError{Op: "remote error", Err: a} }
