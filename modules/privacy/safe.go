package privacy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"gatehouse.internal/modules/internal/wholefile"
)

const (
	maxPlain  = 256 << 10 // bytes of one record before it is sealed
	maxSealed = maxPlain + 4096
	waiting   = 256 // records that wait to be sealed
	sweepIn   = time.Minute
	suffix    = ".age"
)

// ErrNoRecord says that nothing is kept of a request.
var ErrNoRecord = errors.New("nothing is kept of that request: no rule matched, it is older than the retention, or newer records took its place")

// Head is what a record says in the clear.
type Head struct {
	RequestID string    `json:"request_id"`
	Time      time.Time `json:"time"`
	Site      string    `json:"site"`
	Tenant    string    `json:"tenant,omitempty"`
	Rules     []int     `json:"rules"`
}

// Sealed is a record: its head, and an age file of which the plain text repeats the head.
type Sealed struct {
	Head
	Age []byte `json:"age"`
}

// Limits bound a safe.
type Limits struct {
	Keep time.Duration
	Most int // records
}

// Safe keeps sealed records in a directory. Make one with [OpenSafe]; it is safe for concurrent use.
type Safe struct {
	dir   string
	queue chan draft
	quit  chan struct{}
	done  chan struct{}

	mu         sync.Mutex
	recipients []age.Recipient     // guarded by mu
	limits     Limits              // guarded by mu
	records    []entry             // guarded by mu; the oldest first
	at         map[string]struct{} // guarded by mu; the ids of the records
	lost       func(why string)    // guarded by mu
}

// draft is a record that is not sealed yet.
type draft struct {
	head    Head
	subject string
	plain   []byte
	flushed chan struct{} // not nil: no record, but a mark
}

// entry is what the name of a file says.
type entry struct {
	name, id, tenant, subject string
	at                        time.Time
}

// SubjectOf is how records name a person: a hash of provider:subject; "" of nobody.
func SubjectOf(user string) string {
	if user == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("privacy\x00" + user))
	return hex.EncodeToString(sum[:16])
}

// OpenSafe opens the safe in a directory, which it makes.
func OpenSafe(dir string) (*Safe, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &Safe{
		dir: dir, queue: make(chan draft, waiting), quit: make(chan struct{}), done: make(chan struct{}),
		at: map[string]struct{}{}, lost: func(string) {},
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if e, ok := parseName(f.Name()); ok {
			s.records, s.at[e.id] = append(s.records, e), struct{}{}
		}
	}
	slices.SortFunc(s.records, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	go s.run()
	return s, nil
}

// Use says to whom records are sealed from now on, how many there are, and who is told of those that are lost. Without
// recipients nothing is kept that comes; what is there stays.
func (s *Safe) Use(recipients []age.Recipient, limits Limits, lost func(why string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recipients, s.limits, s.lost = recipients, limits, lost
}

// Put takes over a record of this person ("": of nobody); plain is what is sealed. It does not wait for the disk.
func (s *Safe) Put(head Head, user string, plain []byte) {
	select {
	case s.queue <- draft{head: head, subject: SubjectOf(user), plain: plain}:
	default:
		s.drop("queue")
	}
}

// flush returns when all that was put before is on the disk, or lost.
func (s *Safe) flush() {
	mark := make(chan struct{})
	select {
	case s.queue <- draft{flushed: mark}:
	case <-s.done:
		return
	}
	select {
	case <-mark:
	case <-s.done:
	}
}

func (s *Safe) drop(why string) {
	s.mu.Lock()
	lost := s.lost
	s.mu.Unlock()
	lost(why)
}

// Destruct seals what waits, and ends.
func (s *Safe) Destruct() error {
	close(s.quit)
	<-s.done
	return nil
}

func (s *Safe) run() {
	defer close(s.done)
	sweep := time.NewTicker(sweepIn)
	defer sweep.Stop()
	for {
		select {
		case d := <-s.queue:
			s.take(d)
		case <-sweep.C:
			s.prune()
		case <-s.quit:
			for {
				select {
				case d := <-s.queue:
					s.take(d)
				default:
					return
				}
			}
		}
	}
}

func (s *Safe) take(d draft) {
	if d.flushed != nil {
		close(d.flushed)
		return
	}
	if why := s.seal(d); why != "" {
		s.drop(why)
	}
	s.prune()
}

// seal writes one record. It returns in a word why it was lost; "" when it was not.
func (s *Safe) seal(d draft) string {
	s.mu.Lock()
	recipients := s.recipients
	_, twice := s.at[d.head.RequestID]
	s.mu.Unlock()
	if len(recipients) == 0 || twice {
		return ""
	}
	e, ok := parseName(nameOf(d))
	if !ok || len(d.plain) > maxPlain {
		return "size"
	}
	head, err := json.Marshal(d.head)
	if err != nil {
		return "error"
	}
	file := bytes.NewBuffer(append(head, '\n'))
	w, err := age.Encrypt(file, recipients...)
	if err == nil {
		_, err = w.Write(d.plain)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		return "error"
	}
	if err := wholefile.Replace(filepath.Join(s.dir, e.name), file.Bytes()); err != nil {
		return "disk"
	}
	s.mu.Lock()
	s.records, s.at[e.id] = append(s.records, e), struct{}{}
	s.mu.Unlock()
	return ""
}

// prune removes what is too old or too much.
func (s *Safe) prune() {
	s.mu.Lock()
	n := 0
	if s.limits.Most > 0 {
		n = max(len(s.records)-s.limits.Most, 0)
	}
	oldest := time.Now().Add(-s.limits.Keep)
	for s.limits.Keep > 0 && n < len(s.records) && s.records[n].at.Before(oldest) {
		n++
	}
	gone := slices.Clone(s.records[:n])
	s.mu.Unlock()
	if _, err := s.remove(gone); err != nil {
		s.drop("disk")
	}
}

// remove deletes these files, and forgets those that are gone.
func (s *Safe) remove(records []entry) (n int, err error) {
	if len(records) == 0 {
		return 0, nil
	}
	gone := map[string]bool{}
	for _, e := range records {
		if failed := os.Remove(filepath.Join(s.dir, e.name)); failed != nil && !errors.Is(failed, os.ErrNotExist) {
			err = errors.Join(err, failed)
			continue
		}
		gone[e.name] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = slices.DeleteFunc(s.records, func(e entry) bool {
		if gone[e.name] {
			delete(s.at, e.id)
		}
		return gone[e.name]
	})
	return len(gone), err
}

// choose returns the records for which holds reports true.
func (s *Safe) choose(holds func(entry) bool) (found []entry) {
	s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.records {
		if holds(e) {
			found = append(found, e)
		}
	}
	return found
}

// Find returns the record of a request, or ErrNoRecord.
func (s *Safe) Find(requestID string) (Sealed, error) {
	found := s.choose(func(e entry) bool { return e.id == requestID })
	if len(found) == 0 {
		return Sealed{}, ErrNoRecord
	}
	return s.read(found[0])
}

// OfUser returns the heads of the records of a person.
func (s *Safe) OfUser(user string) (heads []Head, err error) {
	subject := SubjectOf(user)
	for _, e := range s.choose(func(e entry) bool { return e.subject == subject && subject != "" }) {
		r, err := s.read(e)
		if errors.Is(err, ErrNoRecord) {
			continue
		}
		if err != nil {
			return nil, err
		}
		heads = append(heads, r.Head)
	}
	return heads, nil
}

// ForgetUser deletes the records of a person, and returns how many there were.
func (s *Safe) ForgetUser(user string) (int, error) {
	subject := SubjectOf(user)
	return s.remove(s.choose(func(e entry) bool { return e.subject == subject && subject != "" }))
}

// OfTenant returns how many records there are of a tenant.
func (s *Safe) OfTenant(tenant string) int {
	return len(s.choose(func(e entry) bool { return e.tenant == tenant && tenant != "" }))
}

// ForgetTenant deletes the records of a tenant, and returns how many there were.
func (s *Safe) ForgetTenant(tenant string) (int, error) {
	return s.remove(s.choose(func(e entry) bool { return e.tenant == tenant && tenant != "" }))
}

func (s *Safe) read(e entry) (r Sealed, err error) {
	f, err := os.Open(filepath.Join(s.dir, e.name))
	if errors.Is(err, os.ErrNotExist) {
		return r, ErrNoRecord
	}
	if err != nil {
		return r, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSealed))
	if err != nil {
		return r, err
	}
	head, sealed, ok := bytes.Cut(text, []byte{'\n'})
	if !ok || json.Unmarshal(head, &r.Head) != nil || r.RequestID != e.id {
		return r, fmt.Errorf("the record %s cannot be read: it was changed, or is damaged", e.name)
	}
	r.Age = sealed
	return r, nil
}

// The parts of a name: milliseconds since 1970, tenant, subject, request.
var nameForm = regexp.MustCompile(`^([0-9]{13})_([a-z0-9-]{1,63})_([0-9a-f]{32}|-)_([A-Za-z0-9-]{1,64})\.age$`)

func nameOf(d draft) string {
	return fmt.Sprintf("%013d_%s_%s_%s%s", d.head.Time.UnixMilli(), cmp.Or(d.head.Tenant, "-"), cmp.Or(d.subject, "-"), d.head.RequestID, suffix)
}

func parseName(name string) (e entry, ok bool) {
	m := nameForm.FindStringSubmatch(name)
	if m == nil {
		return e, false
	}
	ms, err := strconv.ParseInt(m[1], 10, 64)
	return entry{name: name, id: m[4], tenant: strings.Trim(m[2], "-"), subject: strings.Trim(m[3], "-"), at: time.UnixMilli(ms)}, err == nil
}
