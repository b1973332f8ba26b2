package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The buckets of schema 1.
var (
	meta       = []byte("meta")       // schema: its version
	upgrades   = []byte("upgrades")   // a bucket for each service: number -> Upgrade
	unfinished = []byte("unfinished") // service -> number
	keys       = []byte("keys")       // service, zero, key -> number
	desired    = []byte("desired")    // service -> Desired
)

var bucketNotFound = berrors.ErrBucketNotFound

// ordinal is a number as a key: in the order of numbers.
func ordinal(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// keyOf ends the name by a zero, which no name has.
func keyOf(service, key string) []byte { return append(append([]byte(service), 0), key...) }

func put(b *bbolt.Bucket, key []byte, record any) error {
	value, err := json.Marshal(record)
	return errors.Join(err, b.Put(key, value))
}

func get(b *bbolt.Bucket, key []byte, u *Upgrade) error {
	value := b.Get(key)
	if value == nil {
		return ErrUnknown
	}
	return json.Unmarshal(value, u)
}

// drop leaves as many upgrades of a service as are kept. The oldest have ended: only the newest can be under way.
func (j *Journal) drop(tx *bbolt.Tx, all *bbolt.Bucket) error {
	count := 0
	for c, number := walk(all); number != nil; number, _ = c.Next() {
		count++
	}
	var old [][]byte
	for c, number := walk(all); number != nil && count-len(old) > j.keep; number, _ = c.Next() {
		old = append(old, number)
	}
	for _, number := range old {
		var u Upgrade
		if err := get(all, number, &u); err != nil {
			return err
		}
		if key := keyOf(u.Service, u.Key); u.Key != "" && bytes.Equal(tx.Bucket(keys).Get(key), number) { // else a later one has it
			if err := tx.Bucket(keys).Delete(key); err != nil {
				return err
			}
		}
		if err := all.Delete(number); err != nil {
			return err
		}
	}
	return nil
}

func walk(b *bbolt.Bucket) (*bbolt.Cursor, []byte) {
	c := b.Cursor()
	first, _ := c.First()
	return c, first
}

func dropKeys(tx *bbolt.Tx, service string) error {
	prefix := keyOf(service, "")
	var old [][]byte
	c := tx.Bucket(keys).Cursor()
	for key, _ := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, _ = c.Next() {
		old = append(old, key)
	}
	for _, key := range old {
		if err := tx.Bucket(keys).Delete(key); err != nil {
			return err
		}
	}
	return nil
}
