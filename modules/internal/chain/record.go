package chain

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gatehouse.internal/modules/internal/event"
)

// The kinds that a chain writes by itself.
const (
	Opened    event.Kind = "audit.opened"
	Rotated   event.Kind = "audit.key_rotated" // what follows is signed by the key of the next epoch
	Pruned    event.Kind = "audit.pruned"
	Lost      event.Kind = "audit.lost"      // events that could not be kept
	Recovered event.Kind = "audit.recovered" // Detail says what was cut off that had never been acknowledged
)

// Span are records, both ends included.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// core is the part of a record that is hashed. Its order and names are those of the files.
type core struct {
	Seq      int64  `json:"seq"`
	Time     string `json:"time"`
	Mono     int64  `json:"mono"` // nanoseconds since the gateway started
	Run      string `json:"run"`  // which start that was
	Prev     string `json:"prev"` // the hash of the record before
	ID       string `json:"id,omitempty"`
	Kind     string `json:"kind"`
	Request  string `json:"request,omitempty"`
	Site     string `json:"site,omitempty"`
	Tenant   string `json:"tenant,omitempty"` // whose the site was then; records of older versions do not say
	Method   string `json:"method,omitempty"`
	Status   int    `json:"status,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Epoch    string `json:"epoch,omitempty"`    // the certificate of the next epoch's key
	Gone     *Span  `json:"gone,omitempty"`     // records that are pruned
	Personal string `json:"personal,omitempty"` // the hash of the personal part
}

// personal is what can be taken away.
type personal struct {
	Salt    string      `json:"salt"`
	Client  string      `json:"client,omitempty"`
	User    string      `json:"user,omitempty"`
	Session string      `json:"session,omitempty"`
	Path    string      `json:"path,omitempty"`
	Detail  string      `json:"detail,omitempty"`
	Attrs   [][2]string `json:"attrs,omitempty"`
	Subject string      `json:"subject,omitempty"` // the id of the key that Sealed is sealed with: see subject.go
	Sealed  []byte      `json:"sealed,omitempty"`
}

// Record is one record as it was read.
type Record struct {
	core
	Personal *personal // nil: there was none, or it was erased
	Erased   bool
	Line     []byte // the hashed part
	aside    []byte // the personal part, as it was written
	key      []byte // what it is sealed with; nil: it is not, or the key is gone
}

// timeForm keeps all digits, so that times of equal length sort.
const timeForm = "2006-01-02T15:04:05.000000000Z07:00"

const (
	recordHead     = `{"seq":`
	checkpointHead = `{"checkpoint":`
	segmentHead    = `{"segment":`
	maxLine        = 1 << 20 // of a record: its fields are clipped, so that none is longer
	maxField       = 2048
	maxAttrs       = 32
	maxAttrsText   = 64 << 10 // of all together; JSON and base64 make up to eight times as much of it
	maxLateAttr    = 256      // of a text beyond that
)

func clip(s string) string {
	if len(s) <= maxField {
		return s
	}
	return s[:maxField] + "…"
}

// entry is an event that is to be written.
type entry struct {
	event.Event
	mono  time.Duration
	epoch string
	gone  *Span
}

// appendRecord appends the record's line, and adds its hash to the tip.
func appendRecord(buf []byte, t *tip, run string, e *entry, people *subjects) ([]byte, error) {
	p := personal{User: clip(e.User), Session: clip(e.Session), Path: clip(e.Path), Detail: clip(e.Detail)}
	if e.ClientIP.IsValid() {
		p.Client = e.ClientIP.String()
	}
	room := maxAttrsText
	for _, a := range e.Attrs[:min(len(e.Attrs), maxAttrs)] {
		one := [2]string{clip(a.Key), clip(a.Value)}
		if room -= len(one[0]) + len(one[1]); room < 0 {
			one = [2]string{event.Clip(a.Key, maxLateAttr), event.Clip(a.Value, maxLateAttr)}
		}
		p.Attrs = append(p.Attrs, one)
	}
	c := core{
		Seq: t.size, Time: e.Time.UTC().Format(timeForm), Mono: int64(e.mono), Run: run, Prev: t.prev.String(),
		ID: e.ID.String(), Kind: clip(string(e.Kind)), Request: clip(e.RequestID), Site: clip(e.Site), Tenant: clip(e.Tenant), Method: clip(e.Method),
		Status: e.Status, Reason: clip(string(e.Reason)),
		Epoch: e.epoch, Gone: e.gone,
	}
	var aside []byte
	if p.Client+p.User+p.Session+p.Path+p.Detail != "" || len(p.Attrs) > 0 {
		salt := make([]byte, 16)
		_, _ = rand.Read(salt) // never fails: it ends the program instead
		p.Salt = hex.EncodeToString(salt)
		var err error
		if name := subjectOf(&e.Event); name != "" && people != nil {
			if p, err = people.seal(p, name, t.size); err != nil {
				return buf, err
			}
		}
		if aside, err = json.Marshal(p); err != nil {
			return buf, err
		}
		c.Personal = hashText(aside)
	}
	line, err := json.Marshal(c)
	if err != nil {
		return buf, err
	}
	t.add(leaf(line))
	buf = append(buf, line...)
	if aside != nil {
		buf = append(append(buf, '\t'), aside...)
	}
	return append(buf, '\n'), nil
}

func hashText(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// head is what every record begins with, read without a JSON parser: a million of them are verified in seconds.
type head struct {
	seq  int64
	time []byte
	mono int64
	run  []byte
	prev []byte
}

var errRecord = errors.New("the line is no record")

// cutHead reads the beginning of a record, and returns the rest, which begins after prev.
func cutHead(line []byte) (h head, rest []byte, err error) {
	number := func(name string) (n int64) {
		text, ok := bytes.CutPrefix(line, []byte(name))
		end := 0
		for end < len(text) && (text[end] >= '0' && text[end] <= '9' || text[end] == '-') {
			end++
		}
		n, numErr := strconv.ParseInt(string(text[:end]), 10, 64)
		if !ok || numErr != nil {
			err = errRecord
			return 0
		}
		line = text[end:]
		return n
	}
	text := func(name string) []byte {
		value, ok := bytes.CutPrefix(line, []byte(name))
		end := bytes.IndexByte(value, '"')
		if !ok || end < 0 {
			err = errRecord
			return nil
		}
		line = value[end+1:]
		return value[:end]
	}
	h.seq = number(recordHead)
	h.time = text(`,"time":"`)
	h.mono = number(`,"mono":`)
	h.run = text(`,"run":"`)
	h.prev = text(`,"prev":"`)
	return h, line, err
}

// parseRecord reads a line of a segment. The personal part must be the one that the record was made with.
func parseRecord(line []byte) (r Record, err error) {
	hashed, aside, has := bytes.Cut(line, []byte{'\t'})
	r.Line = hashed
	if err := json.Unmarshal(hashed, &r.core); err != nil {
		return r, fmt.Errorf("%w: %w", errRecord, err)
	}
	if !has {
		r.Erased = r.core.Personal != ""
		return r, nil
	}
	if hashText(aside) != r.core.Personal {
		return r, errPersonal
	}
	r.aside, r.Personal = aside, new(personal)
	if err := json.Unmarshal(aside, r.Personal); err != nil {
		return r, fmt.Errorf("%w: %w", errPersonal, err)
	}
	return r, nil
}

var errPersonal = errors.New("its personal part is not the one it was written with")

// When returns the record's wall time, or the zero time.
func (r *Record) When() time.Time {
	t, _ := time.Parse(timeForm, r.Time)
	return t
}

// Attr returns the first fact of this name that the record's personal part has, or "".
func (r *Record) Attr(name string) string {
	if r.Personal != nil {
		for _, a := range r.Personal.Attrs {
			if a[0] == name {
				return a[1]
			}
		}
	}
	return ""
}
