package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// Fleeting are the keyspaces that are not restored: what is in them may have ended since, or been used up, and would be good
// again. Everything else is: people, their factors, programs' keys, decisions of administrators.
var Fleeting = []store.Bucket{
	"session", "link.session", "flow", "kept", "renew", "mfa.flow", "mfa.kept", "mfa.ticket", "apikey.device", // somebody logs in anew
	"setup", "password_link", "seal.link", "privacy.approval", // works once
	"audithead", "certlock", // of gateways that ran
}

// Report is what a test restore found.
type Report struct {
	File   string               `json:"file"`
	SHA256 string               `json:"sha256"`
	Bytes  int64                `json:"bytes"`
	Made   time.Time            `json:"made,omitzero"`
	Host   string               `json:"host,omitempty"`
	Time   time.Time            `json:"time"` // of the test
	Took   time.Duration        `json:"took"` // nanoseconds
	Store  bool                 `json:"store"`
	Keys   bool                 `json:"keys"`
	Items  map[store.Bucket]int `json:"items,omitempty"`
	Audit  AuditReport          `json:"audit"`
	Error  string               `json:"error,omitempty"` // why it is no good
}

// AuditReport is what was found in the audit log's copy.
type AuditReport struct {
	Origin     string `json:"origin,omitempty"`
	Records    int64  `json:"records"`
	Size       int64  `json:"size"` // with those that had been pruned
	Root       string `json:"root,omitempty"`
	Signatures int    `json:"signatures"`
}

// Want is what is known of a backup from elsewhere.
type Want struct {
	SHA256 string // of the file, from the gateway's audit log; "": unknown
	Audit  string // the public key of the audit log (gatehouse audit key); "": what the copy says
	Keys   string // the file with the master keys, where the backup has none
}

// Open restores the file into dir, which must be empty, and looks at everything in it: the counts of each keyspace against those of
// the time it was made, every page and record of the store, whether the keys are those of its gateway, and the audit log's copy from
// its first record to its last. What it returns without an error can be used.
func Open(ctx context.Context, file, dir string, w Want, identities ...age.Identity) (r Report, err error) {
	r = Report{File: filepath.Base(file), Time: time.Now().UTC()}
	defer func() {
		if r.Took = time.Since(r.Time); err != nil {
			r.Error = err.Error()
		}
	}()
	f, err := os.Open(file)
	if err != nil {
		return r, err
	}
	defer f.Close()
	sum, size := sha256.New(), &counted{}
	read := io.TeeReader(f, io.MultiWriter(sum, size))
	a, err := Unpack(read, dir, identities...)
	if _, rest := io.Copy(io.Discard, read); err == nil {
		err = rest
	}
	r.SHA256, r.Bytes = hex.EncodeToString(sum.Sum(nil)), size.n
	if w.SHA256 != "" && !strings.EqualFold(w.SHA256, r.SHA256) {
		return r, fmt.Errorf("the file's SHA-256 is %s and not the one that is on record: it is not the backup that the gateway made", r.SHA256)
	}
	if err != nil {
		return r, err
	}
	r.Made, r.Host, r.Store, r.Keys = a.Time, a.Host, a.Store, a.Keys
	if a.Store {
		if r.Items, err = store.Inspect(filepath.Join(dir, storeName)); err != nil {
			return r, fmt.Errorf("the store: %w", err)
		}
		if !maps.Equal(r.Items, a.Items) {
			return r, fmt.Errorf("%w: the store has other counts than when it was copied: %v, and %v then", ErrDamaged, r.Items, a.Items)
		}
	}
	if w.Keys == "" && a.Keys {
		w.Keys = filepath.Join(dir, keysName)
	}
	if w.Keys != "" {
		ring, err := keyring.Load(w.Keys)
		if err != nil {
			return r, fmt.Errorf("the keys: %w", err)
		}
		if _, err := ring.OpenStored(sealPurpose, a.Seal, nil); err != nil {
			return r, fmt.Errorf("the keys are not those that the gateway sealed its state with: %w", err)
		}
	}
	if a.Store {
		if err := forget(ctx, filepath.Join(dir, storeName)); err != nil {
			return r, fmt.Errorf("opening the store: %w", err)
		}
	}
	r.Audit, err = checkAudit(filepath.Join(dir, auditName), a, w)
	return r, err
}

// forget opens a restored store as a gateway does, and deletes what is not restored.
func forget(ctx context.Context, path string) (err error) {
	st, err := store.OpenEmbedded(path, store.EmbeddedOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for _, b := range Fleeting {
		var keys []store.Key
		for item, err := range st.Scan(ctx, b, "") {
			if err != nil {
				return err
			}
			keys = append(keys, item.Key)
		}
		for chunk := range slices.Chunk(keys, 256) {
			if err := st.Delete(ctx, chunk...); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkAudit(dir string, a Archive, w Want) (r AuditReport, err error) {
	if a.Audit == 0 {
		return r, nil // there was none, or nothing to be shown of it
	}
	points, root, err := chain.Copied(dir)
	if err != nil {
		return r, fmt.Errorf("the audit log: %w", err)
	}
	v, err := chain.Verify(dir, chain.VerifyOptions{Root: cmp.Or(w.Audit, root)})
	if err != nil {
		return r, fmt.Errorf("the audit log: %w", err)
	}
	r = AuditReport{Origin: v.Origin, Records: v.Size - v.First, Size: v.Size, Root: v.Root.String(), Signatures: v.Signatures}
	if len(points) == 0 || v.Size < a.Audit {
		return r, fmt.Errorf("%w: the audit log has %d records, and had %d", ErrDamaged, v.Size, a.Audit)
	}
	return r, nil
}

// Restore makes a state directory of a backup. There must be none, or an empty one. The audit log's copy becomes its directory
// audit-before: what a gateway records from now on is a new log. Nothing is there unless all is.
func Restore(ctx context.Context, file, to string, w Want, identities ...age.Identity) (r Report, err error) {
	if has, err := os.ReadDir(to); err == nil && len(has) > 0 {
		return r, fmt.Errorf("%s is not empty: a backup is restored where no gateway has been; move what is there away", to)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return r, err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return r, err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(to), ".restore-*")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(scratch)
	if r, err = Open(ctx, file, scratch, w, identities...); err != nil {
		return r, err
	}
	if r.Audit.Size > 0 {
		if err := os.Rename(filepath.Join(scratch, auditName), filepath.Join(scratch, auditName+"-before")); err != nil {
			return r, err
		}
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return r, err
	}
	return r, os.Rename(scratch, to)
}
