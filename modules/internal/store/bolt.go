package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The file:
//
//	meta     "schema" → schemaVersion (4 bytes); "state" → last version given, store time of the last commit (8 bytes each)
//	records  raw key → record
//	index    bucket, zero byte, length of index (2 bytes), index, ID → nothing; items only
//	expiry   expiry in store time (8 bytes), raw key → nothing
var (
	metaBucket    = []byte("meta")
	recordsBucket = []byte("records")
	indexBucket   = []byte("index")
	expiryBucket  = []byte("expiry")
	schemaKey     = []byte("schema")
	stateKey      = []byte("state")
)

const (
	schemaVersion = 1
	lockTimeout   = 2 * time.Second
)

type state struct {
	seq   uint64 // last version given
	clock int64  // high-water mark of store time
}

func readState(tx *bolt.Tx) (state, error) {
	b := tx.Bucket(metaBucket).Get(stateKey)
	if len(b) != 16 {
		return state{}, fmt.Errorf("%w: state of %d bytes", ErrCorrupt, len(b))
	}
	return state{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))}, nil
}

func (s state) write(tx *bolt.Tx) error {
	b := binary.BigEndian.AppendUint64(nil, s.seq)
	return tx.Bucket(metaBucket).Put(stateKey, binary.BigEndian.AppendUint64(b, uint64(s.clock)))
}

// openBolt opens the file, checks or writes its schema, and reads its state. bbolt panics on some damage: that becomes an error.
func openBolt(path string, o EmbeddedOptions) (db *bolt.DB, st state, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
		if err != nil && db != nil {
			err = errors.Join(err, db.Close())
			db = nil
		}
	}()
	opts := &bolt.Options{
		Timeout: lockTimeout,
		// The free list is rebuilt when the file is opened: otherwise every commit would write all of it, and a store that
		// has shrunk would write slowly for ever.
		NoFreelistSync: true,
		FreelistType:   bolt.FreelistMapType,
		NoSync:         o.noSync,
		OpenFile:       o.openFile,
	}
	if strconv.IntSize == 64 {
		opts.InitialMmapSize = 1 << 30 // address space only; a long Snapshot then never keeps a growing file from being remapped
	}
	db, err = bolt.Open(path, 0o600, opts)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, st, ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, st, fmt.Errorf("%w: %w", ErrSchema, err)
	case err != nil:
		return nil, st, err
	}
	fresh := false
	err = db.View(func(tx *bolt.Tx) (err error) {
		st, fresh, err = checkSchema(tx)
		return err
	})
	if err == nil && fresh {
		err = db.Update(createSchema)
	}
	return db, st, err
}

// checkSchema writes nothing: a file that is refused stays as it is.
func checkSchema(tx *bolt.Tx) (st state, fresh bool, err error) {
	if name, _ := tx.Cursor().First(); name == nil {
		return state{}, true, nil
	}
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return state{}, false, fmt.Errorf("%w: not a gatehouse store", ErrSchema)
	}
	b := meta.Get(schemaKey)
	if len(b) != 4 {
		return state{}, false, fmt.Errorf("%w: not a gatehouse store", ErrSchema)
	}
	if v := binary.BigEndian.Uint32(b); v != schemaVersion {
		return state{}, false, fmt.Errorf("%w: schema %d, this program reads %d", ErrSchema, v, schemaVersion)
	}
	for _, name := range [][]byte{recordsBucket, indexBucket, expiryBucket} {
		if tx.Bucket(name) == nil {
			return state{}, false, fmt.Errorf("%w: bucket %s is missing", ErrCorrupt, name)
		}
	}
	st, err = readState(tx)
	return st, false, err
}

func createSchema(tx *bolt.Tx) error {
	for _, name := range [][]byte{metaBucket, recordsBucket, indexBucket, expiryBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	if err := tx.Bucket(metaBucket).Put(schemaKey, binary.BigEndian.AppendUint32(nil, schemaVersion)); err != nil {
		return err
	}
	return state{}.write(tx)
}

// boltTable implements table in one bbolt transaction. err is sticky: the transaction must not commit once it is set.
type boltTable struct {
	records, index, expiry *bolt.Bucket
	dirty                  bool
	err                    error
}

func newBoltTable(tx *bolt.Tx) *boltTable {
	return &boltTable{records: tx.Bucket(recordsBucket), index: tx.Bucket(indexBucket), expiry: tx.Bucket(expiryBucket)}
}

func (t *boltTable) keep(err error) {
	t.dirty = true
	if t.err == nil {
		t.err = err
	}
}

func (t *boltTable) load(key string) (record, bool, error) {
	b := t.records.Get([]byte(key))
	if b == nil {
		return record{}, false, nil
	}
	r, err := decodeRecord(b)
	return r, true, err
}

func (t *boltTable) save(key string, old *record, r record) {
	if old != nil {
		t.unlist(key, *old, r)
	}
	t.keep(t.records.Put([]byte(key), r.encode()))
	if r.expires != 0 {
		t.keep(t.expiry.Put(expiryKey(r.expires, key), nil))
	}
	_, k, _ := parseRawKey(key)
	for _, ix := range r.index {
		t.keep(t.index.Put([]byte(indexPrefix(k.Bucket, ix)+k.ID), nil))
	}
}

func (t *boltTable) drop(key string, old record) {
	t.unlist(key, old, record{})
	t.keep(t.records.Delete([]byte(key)))
}

// unlist removes old's entries that r does not have as well.
func (t *boltTable) unlist(key string, old, r record) {
	if old.expires != 0 && old.expires != r.expires {
		t.keep(t.expiry.Delete(expiryKey(old.expires, key)))
	}
	_, k, _ := parseRawKey(key)
	for _, ix := range old.index {
		if !carries(r, ix) {
			t.keep(t.index.Delete([]byte(indexPrefix(k.Bucket, ix) + k.ID)))
		}
	}
}

func (t *boltTable) indexed(b Bucket, index string) []string {
	var keys []string
	for key := range walkIndex(t.index, b, index, "") {
		// A record that cannot be read may carry the index: it goes too.
		if r, ok, err := t.load(key); ok && (err != nil || carries(r, index)) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (t *boltTable) due(now int64, n int) []string {
	var keys []string
	var stale [][]byte
	c := t.expiry.Cursor()
	for k, _ := c.First(); k != nil && len(keys)+len(stale) < n; k, _ = c.Next() {
		if len(k) < 8 || int64(binary.BigEndian.Uint64(k)) > now {
			break
		}
		key := string(k[8:])
		if r, ok, err := t.load(key); err == nil && ok && r.expired(now) {
			keys = append(keys, key)
			continue
		}
		// The entry lies, which only damage brings about. The record, if there is one, is judged when it is read.
		stale = append(stale, slices.Clone(k))
	}
	for _, k := range stale {
		t.keep(t.expiry.Delete(k))
	}
	return keys
}

func carries(r record, index string) bool { return slices.Contains(r.index, index) }

func expiryKey(expires int64, key string) []byte {
	b := make([]byte, 8, 8+len(key))
	binary.BigEndian.PutUint64(b, uint64(expires))
	return append(b, key...)
}

func indexPrefix(b Bucket, index string) string {
	return string(b) + "\x00" + string(binary.BigEndian.AppendUint16(nil, uint16(len(index)))) + index
}

// walk yields the raw item keys after one, in order: with their records for a whole bucket, with nil for an index.
func walk(tx *bolt.Tx, b Bucket, index, after string) iter.Seq2[string, []byte] {
	if index != "" {
		return walkIndex(tx.Bucket(indexBucket), b, index, after)
	}
	prefix := []byte(rawKey(kindItem, Key{Bucket: b}))
	return func(yield func(string, []byte) bool) {
		c := tx.Bucket(recordsBucket).Cursor()
		for k, v := c.Seek([]byte(max(string(prefix), after))); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if key := string(k); key != after && !yield(key, v) {
				return
			}
		}
	}
}

func walkIndex(entries *bolt.Bucket, b Bucket, index, after string) iter.Seq2[string, []byte] {
	prefix := []byte(indexPrefix(b, index))
	_, last, _ := parseRawKey(after)
	return func(yield func(string, []byte) bool) {
		c := entries.Cursor()
		for k, _ := c.Seek(append(slices.Clip(prefix), last.ID...)); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			if key := rawKey(kindItem, Key{Bucket: b, ID: string(k[len(prefix):])}); key != after && !yield(key, nil) {
				return
			}
		}
	}
}
