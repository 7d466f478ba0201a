package waf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/wholefile"
)

// A request that the prover was wrong about is what is needed to mend it, and somebody's data. It is kept in the state
// directory, sealed by the house's keys, where a command opens it; logs name its file, and the rules.

const (
	mistakesDir    = "waf-mistakes" // in the state directory
	mistakeSuffix  = ".sealed"
	mistakePurpose = "waf.mistake"
	maxMistakes    = 8       // files; the oldest goes first. A prover is off after one, so that there are few
	maxMistake     = 1 << 20 // bytes of one: bodies are at most checkBody each, heads what Caddy takes
	mistakeTime    = "20060102T150405.000000Z"
)

// Mistake is a request, with its answer if that was judged, in which rules found something that they were shown to find
// nothing in.
type Mistake struct {
	Time      time.Time
	Site      string
	RequestID string
	Paranoia  int
	Why       string // holds nothing of the request
	Rules     []int  // that matched and want to be logged
	Matches   []Match
	Request   Message
	Answer    *Message `json:",omitempty"`
}

// Message is one half of an exchange, as the rules were shown it.
type Message struct {
	Client, Method, URI, Proto string      `json:",omitempty"`
	Status                     int         `json:",omitempty"`
	Headers                    [][2]string // of a request, Host is the first
	Body                       []byte      // decompressed
	Parser                     string      `json:",omitempty"` // of Coraza's, that the body was read with; "": as the rules chose
}

// request is what was kept of the request.
func (x *exhibit) request() (m Message) {
	if h, ok := x.fed[1].(requestHead); ok {
		m = h.message()
	}
	if b, ok := x.fed[2].(requestBody); ok {
		m.Body, m.Parser = b.data, b.as
	}
	return m
}

// answer is what was kept of the answer; nil: nothing.
func (x *exhibit) answer() *Message {
	h, ok := x.fed[3].(responseHead)
	if !ok {
		return nil
	}
	m := h.message()
	if b, ok := x.fed[4].(responseBody); ok {
		m.Body = b
	}
	return &m
}

func (h *heading) message() Message {
	m := Message{Client: h.client, Method: h.method, URI: h.uri, Proto: h.proto, Status: h.status}
	for _, l := range h.headers {
		m.Headers = append(m.Headers, [2]string{l.name, l.value})
	}
	return m
}

// Keep seals m into a file below the state directory and returns the file's name. The file is there whole or not at all.
func (m Mistake) Keep(stateDir string, keys *keyring.Ring) (name string, err error) {
	plain, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("keeping a mistake: %w", err)
	}
	if len(plain) > maxMistake {
		return "", fmt.Errorf("it is larger than %d bytes", maxMistake)
	}
	dir := filepath.Join(stateDir, mistakesDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("keeping a mistake: %w", err)
	}
	name = m.Time.UTC().Format(mistakeTime)
	if err := wholefile.Replace(filepath.Join(dir, name+mistakeSuffix), keys.Seal(mistakePurpose, plain, []byte(name))); err != nil {
		return "", fmt.Errorf("keeping a mistake: %w", err)
	}
	return name, forgetMistakes(stateDir)
}

// forgetMistakes removes the oldest beyond maxMistakes.
func forgetMistakes(stateDir string) error {
	names, err := Mistakes(stateDir)
	for len(names) > maxMistakes {
		err = errors.Join(err, os.Remove(filepath.Join(stateDir, mistakesDir, names[0]+mistakeSuffix)))
		names = names[1:]
	}
	return err
}

// Mistakes returns the names of the mistakes that are kept, the oldest first.
func Mistakes(stateDir string) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(stateDir, mistakesDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the mistakes: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), mistakeSuffix)
		if _, err := time.Parse(mistakeTime, name); ok && err == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// OpenMistake opens one of them.
func OpenMistake(stateDir, name string, keys *keyring.Ring) (m Mistake, err error) {
	if _, err := time.Parse(mistakeTime, name); err != nil { // nor is it a path
		return m, fmt.Errorf("%q is not the name of a mistake: see `gatehouse waf mistake list`", name)
	}
	f, err := os.Open(filepath.Join(stateDir, mistakesDir, name+mistakeSuffix))
	if err != nil {
		return m, err
	}
	defer f.Close()
	box, err := io.ReadAll(io.LimitReader(f, maxMistake+keyring.Overhead+1))
	if err != nil {
		return m, err
	}
	plain, err := keys.OpenStored(mistakePurpose, box, []byte(name))
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(plain, &m)
}

// Write tells of the mistake and shows the request, and the answer if it was judged. What could steer a terminal is
// written as Go's escapes.
func (m Mistake) Write(w io.Writer) error {
	fmt.Fprintf(w, "%s, site %s, request %s, paranoia %d: %s.\n", m.Time.Format(time.RFC3339), m.Site, m.RequestID, m.Paranoia, m.Why)
	if err := table(w, m.Matches, strings.Trim(strings.ReplaceAll(fmt.Sprint(m.Rules), " ", ","), "[]")); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nfrom %s\n%s", m.Request.Client, tame(m.Request.text()))
	if m.Answer != nil {
		fmt.Fprintf(w, "\n\nThe answer:\n%s", tame(m.Answer.text()))
	}
	_, err := fmt.Fprintln(w)
	return err
}

// text is the message as it would be sent, with plain line feeds: what `gatehouse waf test` reads.
func (m Message) text() string {
	var b strings.Builder
	if m.Status != 0 {
		fmt.Fprintf(&b, "%s %d\n", m.Proto, m.Status)
	} else {
		fmt.Fprintf(&b, "%s %s %s\n", m.Method, m.URI, m.Proto)
	}
	for _, h := range m.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h[0], h[1])
	}
	b.WriteByte('\n')
	b.Write(m.Body)
	return b.String()
}

// tame writes control characters, and what is not UTF-8, as escapes; line feeds and tabs stay.
func tame(text string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(text, "\n") {
		for part := range strings.SplitAfterSeq(line, "\t") {
			body := strings.TrimRight(part, "\n\t")
			quoted := fmt.Sprintf("%q", body)
			quoted = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
			b.WriteString(quoted + part[len(body):])
		}
	}
	return b.String()
}
