package record

import "encoding/binary"

// Limits of RFC 8446, 5.1 and 5.2, in bytes.
const (
	headerSize = 5
	maxContent = 1 << 14
	maxPayload = maxContent + 256
	maxRecord  = headerSize + maxPayload
)

// overhead is what a record without padding adds to its content.
const overhead = headerSize + 1 + tagSize

// version is what the header of every protected record says.
const version = 0x0303

// Content types (RFC 8446, 5.1).
const (
	typeAlert           = 21
	typeHandshake       = 22
	typeApplicationData = 23
)

// measure returns how long the record is that begins b, with its header: 0 if there is not enough of it to tell. An error is the
// alert for something that cannot be a protected record, and is told as early as possible.
func measure(b []byte) (int, error) {
	if len(b) > 0 && b[0] != typeApplicationData {
		return 0, alertUnexpectedMessage
	}
	if len(b) < headerSize {
		return 0, nil
	}
	if binary.BigEndian.Uint16(b[1:]) != version {
		return 0, alertProtocolVersion
	}
	n := int(binary.BigEndian.Uint16(b[3:]))
	if n > maxPayload {
		return 0, alertRecordOverflow
	}
	return headerSize + n, nil
}
