package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/chain"
)

// The files of an incident's folder. The manifest has the hashes of the first two; the gateway has put the manifest's own on
// record, and the last three show that, without the gateway and without the rest of the audit log.
const (
	incidentRecords  = "audit.jsonl"
	incidentAccess   = "access.jsonl"
	incidentManifest = "manifest.json"
	incidentSeal     = "seal.record"
	incidentProof    = "seal.tlog-proof"
	incidentEpochs   = "epochs"

	// sealed is the name of the fact that an event has the manifest's hash under.
	sealed = "manifest_sha256"
)

// manifest says what an incident's folder holds.
type manifest struct {
	Name     string         `json:"name"`
	Why      string         `json:"why"`
	Operator string         `json:"operator"`
	Made     time.Time      `json:"made"`
	Since    time.Time      `json:"since"`
	Until    time.Time      `json:"until,omitzero"`
	User     string         `json:"user,omitempty"`
	Client   string         `json:"client,omitempty"`
	Session  string         `json:"session,omitempty"`
	Request  string         `json:"request,omitempty"`
	Origin   string         `json:"origin"`  // of the audit log, which was verified
	Records  int64          `json:"records"` // that it had
	Files    []manifestFile `json:"files"`
}

type manifestFile struct {
	Name   string `json:"name"`
	Lines  int    `json:"lines"`
	SHA256 string `json:"sha256"`
}

// writing is a file of lines whose hash is taken while it is written.
type writing struct {
	f    *os.File
	w    *bufio.Writer
	sum  hash.Hash
	name string
	n    int
}

func create(dir, name string) (*writing, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	return &writing{f: f, w: bufio.NewWriter(io.MultiWriter(f, h)), sum: h, name: name}, nil
}

func (w *writing) line(text []byte) error {
	w.n++
	_, err := w.w.Write(append(bytes.TrimRight(text, "\r\n"), '\n'))
	return err
}

func (w *writing) close() (manifestFile, error) {
	err := errors.Join(w.w.Flush(), w.f.Sync(), w.f.Close())
	return manifestFile{Name: w.name, Lines: w.n, SHA256: hex.EncodeToString(w.sum.Sum(nil))}, err
}

// MatchesLine reports whether a line of the log of accesses or events, as JSON, is meant. A line without a time is.
func (q Query) MatchesLine(text []byte) bool {
	var line struct {
		TS      any    `json:"ts"`
		Client  string `json:"client_ip"`
		Key     string `json:"client_key"` // in its place, where lines name nobody
		User    string `json:"user"`
		Session string `json:"session"`
		Request string `json:"request_id"`
	}
	if json.Unmarshal(text, &line) != nil {
		return false
	}
	var when time.Time
	switch ts := line.TS.(type) {
	case float64: // as Caddy writes it by default
		when = time.UnixMilli(int64(ts * 1000))
	case string:
		when, _ = time.Parse("2006-01-02T15:04:05.999999999Z07:00", ts)
	}
	return (when.IsZero() || q.during(when)) && (q.User == "" || line.User == q.User) && (q.Client == "" || line.Client == q.Client || line.Key == q.Client) &&
		(q.Session == "" || line.Session == q.Session) && (q.Request == "" || line.Request == q.Request)
}

// copyLines adds the lines of a log that are meant.
func (q Query) copyLines(log io.Reader, to *writing) error {
	return eachLine(log, func(text []byte) error {
		if !q.MatchesLine(text) {
			return nil
		}
		return to.line(text)
	})
}

// gather writes what the audit log and the logs have into the folder, and returns the manifest's text.
func gather(cmd *cobra.Command, dir, audit string, logs []string, q Query, m manifest) (text []byte, err error) {
	records, err := create(dir, incidentRecords)
	if err != nil {
		return nil, err
	}
	report, err := chain.Verify(audit, chain.VerifyOptions{Each: func(r *chain.Record) error {
		if !q.Matches(r) {
			return nil
		}
		text, err := Object(r)
		if err != nil {
			return err
		}
		return records.line(text)
	}})
	file, closed := records.close()
	if err = errors.Join(fault(err), closed); err != nil {
		return nil, err
	}
	m.Origin, m.Records, m.Files = report.Origin, report.Size-report.First, append(m.Files, file)
	access, err := create(dir, incidentAccess)
	if err != nil {
		return nil, err
	}
	for _, name := range logs {
		if err = readLog(cmd, name, func(log io.Reader) error { return q.copyLines(log, access) }); err != nil {
			break
		}
	}
	file, closed = access.close()
	if err = errors.Join(err, closed); err != nil {
		return nil, err
	}
	m.Files = append(m.Files, file)
	if m.Files[0].Lines+m.Files[1].Lines == 0 {
		return nil, errors.New("there is nothing of that kind in the audit log or the logs")
	}
	if text, err = json.MarshalIndent(m, "", "  "); err != nil {
		return nil, err
	}
	return text, os.WriteFile(filepath.Join(dir, incidentManifest), text, 0o600)
}

// seal looks up the record that has the manifest's hash, and writes what shows that it is there.
func seal(dir, audit, manifest string) error {
	r, proof, err := chain.ProveLast(audit, func(r *chain.Record) bool { return sealOf(r) == manifest }, true, chain.VerifyOptions{})
	if errors.Is(err, chain.ErrNoRecord) {
		return fmt.Errorf("the record of this export is not in %s: that is another gateway's audit log", audit)
	}
	if err != nil {
		return fault(err)
	}
	epochs, err := os.ReadFile(filepath.Join(audit, incidentEpochs))
	return errors.Join(err,
		os.WriteFile(filepath.Join(dir, incidentSeal), r.Line, 0o600),
		os.WriteFile(filepath.Join(dir, incidentProof), []byte(proof), 0o600),
		os.WriteFile(filepath.Join(dir, incidentEpochs), epochs, 0o600))
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// sealOf is the hash of the manifest that a record is about; "" if it is about none.
func sealOf(r *chain.Record) string {
	if r.Kind == string(incidentKind) && r.Personal != nil {
		for _, a := range r.Personal.Attrs {
			if a[0] == sealed {
				return a[1]
			}
		}
	}
	return ""
}

// checkIncident reports whether a folder holds what the gateway with this key, as `gatehouse audit key` prints it, has put on
// record, and nothing else.
func checkIncident(dir, key string) (m manifest, r *chain.Record, err error) {
	read := func(name string) []byte {
		text, failed := os.ReadFile(filepath.Join(dir, name))
		err = errors.Join(err, failed)
		return text
	}
	text, core, proof := read(incidentManifest), read(incidentSeal), read(incidentProof)
	if err != nil {
		return m, nil, err
	}
	keys, err := chain.EpochKeys(dir, key)
	if err != nil {
		return m, nil, err
	}
	if r, _, err = chain.CheckProof(core, string(proof), keys...); err != nil {
		return m, nil, err
	}
	if sealOf(r) != hashOf(text) {
		return m, nil, fmt.Errorf("%s is not what record %d is about: it was changed", incidentManifest, r.Seq)
	}
	if err = json.Unmarshal(text, &m); err != nil {
		return m, nil, fmt.Errorf("%s: %w", incidentManifest, err)
	}
	for _, f := range m.Files {
		if is := hashOf(read(filepath.Base(f.Name))); err == nil && is != f.SHA256 {
			err = fmt.Errorf("%s was changed", f.Name)
		}
		if err != nil {
			return m, nil, err
		}
	}
	return m, r, nil
}
