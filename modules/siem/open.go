package siem

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"

	"gatehouse.internal/modules/internal/retain"
	"gatehouse.internal/modules/internal/roots"
	"gatehouse.internal/modules/internal/secret"
	"gatehouse.internal/modules/siem/format"
)

// open makes the outlet, with its credential. Spools lie in folders of dir.
func (k Sink) open(dir, node string, token secret.String) (*outlet, error) {
	o := &outlet{name: k.Name, streams: map[string]bool{}}
	o.encode, _ = format.Named(k.Format) // check has made sure
	for _, name := range k.Streams {
		o.streams[name] = true
	}
	if len(k.Streams) == 0 {
		for _, name := range streams {
			o.streams[name] = true
		}
	}
	var err error
	switch k.Kind {
	case "stdout":
		o.direct = func(line []byte) error { _, err := os.Stdout.Write(line); return err }
		return o, nil
	case "file":
		return o, k.openFile(o)
	case "syslog":
		o.encode = format.Syslog(o.encode, syslogFacility)
	}
	if o.receiver, err = k.receiver(node, token); err != nil {
		return nil, fmt.Errorf("%s: %w", k.Name, err)
	}
	limit, keep := cmp.Or(k.SpoolSize, defaultSpool), cmp.Or(time.Duration(k.SpoolKeep), defaultKeep)
	if o.spool, err = openSpool(filepath.Join(dir, k.Name), limit, keep); err != nil {
		return nil, fmt.Errorf("the spool of %s: %w", k.Name, err)
	}
	return o, nil
}

// syslogFacility is local use 0 (RFC 5424).
const syslogFacility = 16

// openFile has the outlet write to a file that is rolled.
func (k Sink) openFile(o *outlet) error {
	f := &rolledFile{
		Logger: &timberjack.Logger{Filename: k.Address, MaxSize: cmp.Or(k.RollMiB, 100), Compression: "gzip", FileMode: 0o600},
		most:   int64(cmp.Or(k.RollMiB, 100)) << 20,
	}
	if k.Format == "csv" {
		f.head = append(format.CSVHeader(nil), '\n')
	}
	err := f.roll(time.Now())
	if err == nil { // whether it can be written is known before anything is lost
		err = f.add(nil)
	}
	if err != nil {
		return fmt.Errorf("siem: %s: %w: make the directory, and let the gateway's user write into it", k.Name, err)
	}
	o.direct, o.file, o.roll = f.add, f, f.roll
	o.family = retain.Family{File: k.Address, Keep: cmp.Or(time.Duration(k.RollFor), defaultKeep), Most: cmp.Or(k.RollKeep, 10)}
	return nil
}

// rolledFile is a file that another is begun after when it is long or old, each with the same head.
type rolledFile struct {
	*timberjack.Logger
	head []byte
	most int64 // bytes

	mu   sync.Mutex
	size int64 // guarded by mu
}

// add writes a line, in another file if it does not fit into this one.
func (f *rolledFile) add(line []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.size > int64(len(f.head)) && f.size+int64(len(line)) > f.most {
		if err := f.RotateWithReason("size"); err != nil {
			return err
		}
		f.size = 0
	}
	if f.size == 0 {
		if err := f.put(f.head); err != nil {
			return err
		}
	}
	return f.put(line)
}

// put writes. mu is held.
func (f *rolledFile) put(text []byte) error {
	n, err := f.Write(text)
	f.size += int64(n)
	return err
}

// roll begins another file if it is time, and finds out how long this one is.
func (f *rolledFile) roll(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := rollOld(f.Logger, now)
	f.size = 0
	if info, failed := os.Stat(f.Filename); failed == nil {
		f.size = info.Size()
	}
	return err
}

// rollOld begins another file if the last record in this one is not of today, so that files can be removed by their age.
func rollOld(f *timberjack.Logger, now time.Time) error {
	info, err := os.Stat(f.Filename)
	if err != nil || info.Size() == 0 || info.ModTime().UTC().Truncate(24*time.Hour).Equal(now.UTC().Truncate(24*time.Hour)) {
		return nil // whether it can be written is found out by writing
	}
	return f.RotateWithReason("day")
}

// receiver is the protocol that the sink speaks.
func (k Sink) receiver(node string, token secret.String) (receiver, error) {
	how, err := roots.Client(k.CAFile, k.InsecureTLS12)
	if err != nil {
		return nil, err
	}
	switch k.Kind {
	case "syslog":
		u, err := url.Parse(k.Address)
		if err != nil {
			return nil, err
		}
		s := &syslog{address: u.Host}
		if u.Scheme == "tls" {
			how.ServerName = u.Hostname()
			s.tls = how
		}
		return s, nil
	case "splunk":
		p, err := newPoster(k.Address, "/services/collector/event", how, "Splunk", token)
		return splunk{p, k.Format == "json" || k.Format == "ecs" || k.Format == "ocsf" || k.Format == "gelf", k.Index}, err
	case "elasticsearch":
		p, err := newPoster(k.Address, "/_bulk", how, cmp.Or(k.TokenType, "ApiKey"), token)
		return elastic{p, cmp.Or(k.Index, "logs-gatehouse-default")}, err
	case "loki":
		p, err := newPoster(k.Address, "/loki/api/v1/push", how, "Bearer", token)
		return loki{p}, err
	}
	p, err := newPoster(k.Address, "/v1/logs", how, "Bearer", token)
	return otlp{p, node}, err
}
