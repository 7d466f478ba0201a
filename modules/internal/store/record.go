package store

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The three keyspaces, first byte of a raw key.
const (
	kindItem    = 'i'
	kindCounter = 'c'
	kindLease   = 'l'
)

// rawKey is kind, bucket, zero byte, ID. A bucket holds no zero byte, so it reads back one way only.
func rawKey(kind byte, k Key) string {
	return string(kind) + string(k.Bucket) + "\x00" + k.ID
}

// parseRawKey reverses rawKey; ok is false for what rawKey never made.
func parseRawKey(raw string) (kind byte, k Key, ok bool) {
	if raw == "" {
		return 0, Key{}, false
	}
	b, id, ok := strings.Cut(raw[1:], "\x00")
	if !ok {
		return 0, Key{}, false
	}
	return raw[0], Key{Bucket: Bucket(b), ID: id}, true
}

// record is what is stored under a raw key.
type record struct {
	version uint64
	expires int64    // store time; zero: never
	index   []string // sorted, unique; items only
	value   []byte   // decoded: aliases the input
}

func (r record) expired(now int64) bool { return r.expires != 0 && r.expires <= now }

const (
	recordFormat = 1
	recordHead   = 1 + 8 + 8 + 1
)

// encode: format, version, expires, number of index entries, (length, entry)…, value. Numbers are big endian.
func (r record) encode() []byte {
	n := recordHead + len(r.value)
	for _, ix := range r.index {
		n += 2 + len(ix)
	}
	b := make([]byte, 0, n)
	b = append(b, recordFormat)
	b = binary.BigEndian.AppendUint64(b, r.version)
	b = binary.BigEndian.AppendUint64(b, uint64(r.expires))
	b = append(b, byte(len(r.index)))
	for _, ix := range r.index {
		b = binary.BigEndian.AppendUint16(b, uint16(len(ix)))
		b = append(b, ix...)
	}
	return append(b, r.value...)
}

// decodeRecord never panics; what encode did not make is ErrCorrupt.
func decodeRecord(b []byte) (record, error) {
	if len(b) < recordHead || b[0] != recordFormat {
		return record{}, ErrCorrupt
	}
	r := record{
		version: binary.BigEndian.Uint64(b[1:]),
		expires: int64(binary.BigEndian.Uint64(b[9:])),
	}
	n := int(b[17])
	if r.expires < 0 || n > MaxIndexes {
		return record{}, fmt.Errorf("%w: head", ErrCorrupt)
	}
	b = b[recordHead:]
	if n > 0 {
		r.index = make([]string, 0, n)
	}
	for range n {
		if len(b) < 2 {
			return record{}, fmt.Errorf("%w: index", ErrCorrupt)
		}
		l := int(binary.BigEndian.Uint16(b))
		b = b[2:]
		if l == 0 || l > MaxIndex || l > len(b) {
			return record{}, fmt.Errorf("%w: index", ErrCorrupt)
		}
		r.index = append(r.index, string(b[:l]))
		b = b[l:]
	}
	if len(b) > MaxValue {
		return record{}, fmt.Errorf("%w: value", ErrCorrupt)
	}
	r.value = b
	return r, nil
}

// item copies the value: what it returns may outlive the transaction.
func (r record) item(k Key, lag int64) Item {
	v := make([]byte, len(r.value))
	copy(v, r.value)
	return Item{Key: k, Value: v, Version: r.version, Expires: toWall(r.expires, lag)}
}
