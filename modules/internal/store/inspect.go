package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Inspect reads a whole store file that nobody has open, such as what Snapshot wrote, and returns how many items each keyspace
// has, those that have expired included. It changes nothing, and needs no room. Every page and every record is read: damage is
// ErrCorrupt, and what is no store is ErrSchema.
func Inspect(path string) (counts map[Bucket]int, err error) {
	defer func() {
		if p := recover(); p != nil { // as bbolt says of some damage
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.Size() == 0 { // bbolt would begin one
		return nil, fmt.Errorf("%w: the file is empty", ErrSchema)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	counts = map[Bucket]int{}
	err = db.View(func(tx *bolt.Tx) error {
		if _, fresh, err := checkSchema(tx); err != nil || fresh {
			return errors.Join(err, onlyIf(fresh, fmt.Errorf("%w: there is nothing in it", ErrSchema)))
		}
		var damage error
		for err := range tx.Check() { // to its end, or it waits for ever
			if damage == nil {
				damage = fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
		}
		if damage != nil {
			return damage
		}
		return tx.Bucket(recordsBucket).ForEach(func(key, value []byte) error {
			kind, k, ok := parseRawKey(string(key))
			if !ok {
				return fmt.Errorf("%w: a key of no kind", ErrCorrupt)
			}
			if _, err := decodeRecord(value); err != nil {
				return fmt.Errorf("bucket %s: %w", k.Bucket, err)
			}
			if kind == kindItem {
				counts[k.Bucket]++
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

func onlyIf(holds bool, err error) error {
	if holds {
		return err
	}
	return nil
}
