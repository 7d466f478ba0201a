package verify

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/recent"
	"gatehouse.internal/modules/internal/store"
)

const (
	bucket     store.Bucket = "verify"
	mailBucket store.Bucket = "verify.mail"

	recordPurpose = "verify.record"
	devicePurpose = "verify.device"
	codePurpose   = "verify.code"
	reportPurpose = "verify.report"

	// heldIndex finds the records in which a visit is held.
	heldIndex = "held"

	memoSize  = 1 << 18
	memoFor   = time.Hour
	issuedFor = time.Minute
	rivals    = 64
	slots     = 1 << 12 // of people whose memos are dropped together; see book.changed
)

var (
	errRivals  = errors.New("the record changes all the time")
	errNothing = errors.New("there is nothing of that name")
	errCode    = errors.New("the code is wrong, too old, or was tried too often")
	errTooMany = errors.New("too many messages were sent to the person")
)

// book keeps the records, and remembers what was judged a short while ago. It is safe for concurrent use, on any number of
// nodes.
type book struct {
	store store.Store
	keys  *keyring.Ring

	memos  *recent.Map[memo]     // by session: judged, and nothing to say
	met    *recent.Map[struct{}] // by session: judged before
	issued *recent.Map[issued]   // by session: the cookie that it was just given
	gens   [slots]atomic.Uint64
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// memo is a visit that passed.
type memo struct {
	by     *desk // whose policy it was
	addr   netip.Addr
	cookie string
	device string // identity.DeviceKnown or DeviceUnknown
	slot   uint32
	gen    uint64
}

type issued struct {
	addr   netip.Addr
	cookie string
}

func openBook(st store.Store, keys *keyring.Ring) (*book, error) {
	ctx, cancel := context.WithCancel(context.Background())
	feed, err := st.Watch(ctx, bucket)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watching devices and networks: %w", err)
	}
	b := &book{
		store: st, keys: keys, stop: cancel,
		memos: recent.New[memo](memoSize), met: recent.New[struct{}](memoSize), issued: recent.New[issued](memoSize / 16),
	}
	b.done.Go(func() {
		for e := range feed {
			b.changed(e)
		}
	})
	return b, nil
}

// Destruct stops following the store.
func (b *book) Destruct() error {
	b.stop()
	b.done.Wait()
	return nil
}

// changed has the person judged anew whose record has changed, and whoever shares their slot.
func (b *book) changed(e store.Event) {
	if e.Kind == store.Resync {
		for i := range b.gens {
			b.gens[i].Add(1)
		}
		return
	}
	b.gens[slotOf(e.Key.ID)].Add(1)
}

func slotOf(id string) uint32 {
	var n [2]byte
	if len(id) >= 4 {
		_, _ = hex.Decode(n[:], []byte(id[:4])) // what is no hash has slot 0
	}
	return (uint32(n[0])<<8 | uint32(n[1])) % slots
}

// passes reports whether this visit of the session was judged a short while ago, and passed; and what it found of the device.
func (b *book) passes(d *desk, session string, addr netip.Addr, cookie string, now time.Time) (device string, ok bool) {
	m, ok := b.memos.Get(recent.KeyOf(session), now)
	return m.device, ok && m.by == d && m.addr == addr && m.cookie == cookie && cookie != "" && b.gens[m.slot].Load() == m.gen
}

// remember has the visit pass for a while, unless the record has changed since gen was read.
func (b *book) remember(session string, m memo, now time.Time) {
	b.memos.Put(recent.KeyOf(session), m, now, now.Add(memoFor))
}

// first reports whether the session has not been judged before on this node.
func (b *book) first(session string, now time.Time) bool {
	k := recent.KeyOf(session)
	_, met := b.met.Get(k, now)
	b.met.Put(k, struct{}{}, now, now.Add(24*time.Hour))
	return !met
}

// keyOf names a person's record by a hash, so that the store's file does not list who has one.
func keyOf(provider, subject string) store.Key {
	sum := sha256.Sum256([]byte("verify\x00" + provider + "\x00" + subject))
	return store.Key{Bucket: bucket, ID: hex.EncodeToString(sum[:])}
}

// cookieOf returns a new device's cookie.
func (b *book) cookieOf() string {
	raw := make([]byte, 16)
	rand.Read(raw) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(raw) + "." + base64.RawURLEncoding.EncodeToString(b.keys.MAC(devicePurpose, raw))
}

// deviceOf returns what the person's record calls the device with this cookie; "" when the cookie is none of ours. One browser
// is called otherwise in each person's.
func (b *book) deviceOf(cookie, provider, subject string) string {
	for i := range len(cookie) {
		if cookie[i] != '.' {
			continue
		}
		raw, err1 := base64.RawURLEncoding.Strict().DecodeString(cookie[:i])
		mac, err2 := base64.RawURLEncoding.Strict().DecodeString(cookie[i+1:])
		if err1 != nil || err2 != nil || len(raw) != 16 || !b.keys.CheckMAC(devicePurpose, raw, mac) {
			return ""
		}
		sum := sha256.Sum256([]byte("device\x00" + provider + "\x00" + subject + "\x00" + string(raw)))
		return hex.EncodeToString(sum[:8])
	}
	return ""
}

// get returns the person's record, or an empty one. That of a provider of the same name and another issuer is somebody else's.
func (b *book) get(ctx context.Context, provider, issuer, subject string) (record, error) {
	fresh := record{Provider: provider, Issuer: issuer, Subject: subject}
	item, err := b.store.Get(ctx, keyOf(provider, subject))
	if errors.Is(err, store.ErrNotFound) {
		return fresh, nil
	}
	if err != nil {
		return record{}, fmt.Errorf("reading devices and networks: %w", err)
	}
	r, err := b.open(item)
	if err == nil && issuer != "" && r.Issuer != issuer {
		fresh.version = r.version
		return fresh, nil
	}
	return r, err
}

func (b *book) open(item store.Item) (record, error) {
	plain, err := b.keys.OpenStored(recordPurpose, item.Value, []byte(item.Key.ID))
	if err != nil {
		return record{}, fmt.Errorf("opening a record of devices and networks: %w", err)
	}
	var r record
	if err := json.Unmarshal(plain, &r); err != nil {
		return record{}, fmt.Errorf("a record of devices and networks: %w", store.ErrCorrupt)
	}
	r.version = item.Version
	return r, nil
}

// update changes the person's record, by compare-and-swap: change may be called several times. What it returns as an error is
// returned; with errNothing nothing is written.
func (b *book) update(ctx context.Context, who identity.Identity, remember time.Duration, change func(*record) error) error {
	for range rivals {
		r, err := b.get(ctx, who.Provider, who.Issuer, who.Subject)
		if err != nil {
			return err
		}
		r.prune(time.Now(), remember)
		failed := change(&r)
		if errors.Is(failed, errNothing) {
			return failed
		}
		if err := b.write(ctx, r, remember); errors.Is(err, store.ErrConflict) {
			continue
		} else if err != nil {
			return err
		}
		return failed
	}
	return errRivals
}

func (b *book) write(ctx context.Context, r record, remember time.Duration) error {
	plain, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing devices and networks: %w", err)
	}
	key := keyOf(r.Provider, r.Subject)
	o := store.PutOptions{Match: store.Version, Version: r.version, TTL: remember + heldFor}
	if r.version == 0 {
		o.Match = store.Absent
	}
	if len(r.Held) > 0 {
		o.Index = []string{heldIndex}
	}
	if _, err := b.store.Put(ctx, key, b.keys.Seal(recordPurpose, plain, []byte(key.ID)), o); err != nil {
		return fmt.Errorf("writing devices and networks: %w", err)
	}
	return nil
}

// mayMail counts a message to the person, of ten an hour.
func (b *book) mayMail(ctx context.Context, provider, subject string) error {
	n, err := b.store.Incr(ctx, store.Key{Bucket: mailBucket, ID: keyOf(provider, subject).ID}, 1, time.Hour)
	if err != nil {
		return fmt.Errorf("counting messages: %w", err)
	}
	if n > 10 {
		return errTooMany
	}
	return nil
}

// newCode makes the code for a held visit, in place of an earlier one.
func (b *book) newCode(h *held, now time.Time) string {
	code := digits(8)
	h.Code, h.CodeAt, h.Tries = b.keys.MAC(codePurpose, []byte(h.ID+"\x00"+code)), now.UTC(), 0
	return code
}

// takeCode reports whether the code is the held visit's, and counts the try.
func (b *book) takeCode(h *held, code string, now time.Time) bool {
	if len(h.Code) == 0 || now.Sub(h.CodeAt) > codeFor || h.Tries >= codeTries {
		return false
	}
	h.Tries++
	return b.keys.CheckMAC(codePurpose, []byte(h.ID+"\x00"+code), h.Code)
}

// digits returns n random digits.
func digits(n int) string {
	text := make([]byte, 0, n)
	var raw [1]byte
	for len(text) < n {
		if rand.Read(raw[:]); raw[0] < 250 { // never fails (crypto/rand); the rest would favour 0 to 5
			text = append(text, '0'+raw[0]%10)
		}
	}
	return string(text)
}

// report is what the link in a message says: whose sessions it ends. It travels sealed.
type report struct {
	Provider string       `json:"p"`
	Subject  string       `json:"s"`
	Device   string       `json:"d"`
	Prefix   netip.Prefix `json:"n"`
	At       time.Time    `json:"t"`
}

const reportFor = 7 * 24 * time.Hour

func (b *book) sealReport(r report) (string, error) {
	plain, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("sealing a report: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b.keys.Seal(reportPurpose, plain, nil)), nil
}

// openReport returns what the text says, if it is ours and not too old.
func (b *book) openReport(text string, now time.Time) (r report, ok bool) {
	if text == "" || len(text) > 2048 {
		return r, false
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return r, false
	}
	plain, err := b.keys.Open(reportPurpose, box, nil)
	if err != nil || json.Unmarshal(plain, &r) != nil {
		return report{}, false
	}
	age := now.Sub(r.At)
	return r, age <= reportFor && age >= -time.Minute
}
