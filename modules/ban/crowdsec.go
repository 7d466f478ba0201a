package ban

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/prefixset"
)

// stream is a list that CrowdSec's local API keeps: all decisions first, then what has changed since the last question. What
// counts are decisions of the type ban about addresses and ranges. It is for one goroutine.
type stream struct {
	known  map[netip.Prefix]time.Time // until when
	synced bool                       // the next answer may be a change of what is known
}

// decisions is the API's answer (LAPI, GET /v1/decisions/stream).
type decisions struct {
	New     []decision `json:"new"`
	Deleted []decision `json:"deleted"`
}

type decision struct {
	Scope    string `json:"scope"`
	Value    string `json:"value"`
	Type     string `json:"type"`
	Duration string `json:"duration"`
}

// network returns what the decision is about; false when it does not count.
func (d decision) network() (netip.Prefix, bool) {
	if !strings.EqualFold(d.Type, "ban") || !strings.EqualFold(d.Scope, "ip") && !strings.EqualFold(d.Scope, "range") {
		return netip.Prefix{}, false
	}
	return readEntry(d.Value)
}

func (f *feed) streamURL() string {
	return strings.TrimSuffix(f.CrowdSec, "/") + "/v1/decisions/stream?scopes=ip,range&startup=" + strconv.FormatBool(!f.stream.synced)
}

// pull asks for what has changed and puts it in force. After a failure everything is asked for again.
func (f *feed) pull(ctx context.Context) error {
	s := f.stream
	whole := !s.synced
	address := f.streamURL()
	s.synced = false
	text, err := f.askStream(ctx, address)
	if err != nil {
		return err
	}
	var d decisions
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("%w: the answer is not CrowdSec's: %w", errNoList, err)
	}
	now := time.Now()
	known := s.known
	if whole || known == nil {
		known = map[netip.Prefix]time.Time{}
	}
	if err := d.judge(known); err != nil {
		return err
	}
	for _, x := range d.Deleted {
		if p, ok := x.network(); ok {
			delete(known, p)
		}
	}
	for _, x := range d.New {
		p, ok := x.network()
		if length, err := time.ParseDuration(x.Duration); ok && err == nil && length > 0 && now.Add(length).After(known[p]) {
			known[p] = now.Add(length)
		}
	}
	changed := whole || len(d.New) > 0 || len(d.Deleted) > 0
	for p, until := range known {
		if !now.Before(until) {
			delete(known, p)
			changed = true
		}
	}
	s.known = known
	if changed {
		if err := f.loadStream(); err != nil {
			return err
		}
	}
	s.synced = true
	f.confirm(now)
	if !changed {
		return nil
	}
	if err := f.keep(s.text(), nil); err != nil {
		return fmt.Errorf("the list is in force, but was not kept for the next start: %w", err)
	}
	return nil
}

// judge refuses an answer as a whole that would shut out a large part of the world, or is larger than any should be.
func (d decisions) judge(known map[netip.Prefix]time.Time) error {
	for _, x := range d.New {
		if p, ok := x.network(); ok && tooWide(p) {
			return fmt.Errorf("%w: %s is too wide, it would shut out a large part of the world", errNoList, p)
		}
	}
	if n := len(known) + len(d.New); n > prefixset.DefaultMax {
		return fmt.Errorf("%d decisions: %w: the limit is %d", n, prefixset.ErrTooMany, prefixset.DefaultMax)
	}
	return nil
}

// loadStream puts in force what is known.
func (f *feed) loadStream() error {
	all := make([]netip.Prefix, 0, len(f.stream.known))
	for p := range f.stream.known {
		all = append(all, p)
	}
	set, err := prefixset.New(all...)
	if err != nil {
		return err
	}
	f.install(set)
	return nil
}

// text is what is known, for the next start: a network and until when, in Unix seconds.
func (s *stream) text() []byte {
	var b bytes.Buffer
	for p, until := range s.known {
		fmt.Fprintf(&b, "%s %d\n", p, until.Unix())
	}
	return b.Bytes()
}

// restore takes over what text says, but for what is over.
func (s *stream) restore(text []byte) {
	s.known = map[netip.Prefix]time.Time{}
	for line := range strings.Lines(string(text)) {
		network, until, _ := strings.Cut(strings.TrimSpace(line), " ")
		p, err := netip.ParsePrefix(network)
		at, atErr := strconv.ParseInt(until, 10, 64)
		if err == nil && atErr == nil && p == p.Masked() && !tooWide(p) && time.Now().Unix() < at {
			s.known[p] = time.Unix(at, 0)
		}
	}
}

// askStream asks the API, which must not lead elsewhere: the key is for it alone.
func (f *feed) askStream(ctx context.Context, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "Gatehouse")
	key, err := f.reveal()
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Api-Key", key.Reveal())
	res, err := f.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusForbidden, http.StatusUnauthorized:
		return nil, fmt.Errorf("%s answers %s: is the key one of `cscli bouncers add`?", f.CrowdSec, res.Status)
	default:
		return nil, fmt.Errorf("%s answers %s", f.CrowdSec, res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxListSize+1))
	if err == nil && len(text) > maxListSize {
		err = fmt.Errorf("%w: it has more than %d MiB", errNoList, maxListSize>>20)
	}
	return text, err
}

// checkCrowdSec judges the words of such a list.
func (b *Blocklist) checkCrowdSec() error {
	u, err := url.Parse(b.CrowdSec)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.RawQuery != "":
		return fmt.Errorf("%q is no URL of CrowdSec's local API, such as http://127.0.0.1:8080", b.CrowdSec)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return fmt.Errorf("%q: write https, or http with a loopback address: the key goes there", b.CrowdSec)
	case b.Key == "":
		return errors.New("key: write `key {file./path}` or `key {env.NAME}` with what `cscli bouncers add gatehouse` says")
	case b.SignedBy != "":
		return errors.New("signed_by is for lists in files or behind a URL")
	}
	return nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
