package ban

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/egress"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/prefixset"
	"gatehouse.internal/modules/internal/roots"
	"gatehouse.internal/modules/internal/wholefile"
)

const (
	fetchFor   = time.Minute
	firstRetry = 10 * time.Second // doubled with each failure, up to the list's period
	listFolder = "blocklists"     // in the state directory
)

// errUnchanged says that the list is the one that we have.
var errUnchanged = errors.New("unchanged")

// feed keeps one blocklist fresh. What it has loaded last stays in force until there is a better one: also over a restart.
type feed struct {
	Blocklist
	folder  string // for the last good list
	client  *http.Client
	publish func(event.Event)
	swapped func() // called when another list is in force; nil: nobody wants to know

	set       prefixset.Atomic
	confirmed atomic.Int64 // when the list was last known to be good, in Unix seconds; 0: never

	// Only the goroutine that runs it uses these.
	etag, modified string  // of HTTP
	stamp          string  // of the file
	stream         *stream // of CrowdSec; nil: it is none
	failing        string  // what was told last of what is wrong
	told           bool    // that it is stale
	began          time.Time
}

// newFeed returns a feed with the last good list of an earlier process, if there is one.
func newFeed(b Blocklist, folder string, publish func(event.Event)) (*feed, error) {
	f := &feed{Blocklist: b, folder: folder, publish: publish, began: time.Now()}
	if b.CrowdSec != "" {
		f.stream = new(stream)
	}
	if b.File == "" {
		how, err := roots.Client(b.CAFile, b.InsecureTLS12)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		f.client = &http.Client{
			Timeout: fetchFor,
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, DialContext: egress.DialContext, TLSClientConfig: how,
				TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true, IdleConnTimeout: 30 * time.Second,
			},
			CheckRedirect: func(r *http.Request, via []*http.Request) error {
				if r.URL.Scheme != "https" || len(via) > 3 || b.CrowdSec != "" { // a key must not go elsewhere
					return errors.New("redirected to what is not https, too often, or with a key")
				}
				return nil
			},
		}
	}
	f.restore()
	return f, nil
}

// run keeps the list fresh until ctx ends.
func (f *feed) run(ctx context.Context) {
	defer f.closeIdle()
	failures := 0
	for {
		err := f.refresh(ctx)
		wait := f.every
		if err != nil {
			wait = min(firstRetry<<min(failures, 16), f.every)
			failures++
		} else {
			failures = 0
		}
		f.report(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait + rand.N(wait/10+1)): // not everybody at once
		}
	}
}

func (f *feed) closeIdle() {
	if f.client != nil {
		f.client.CloseIdleConnections()
	}
}

// refresh loads the list if there is another one.
func (f *feed) refresh(ctx context.Context) error {
	if f.stream != nil {
		return f.pull(ctx)
	}
	text, sig, remember, err := f.get(ctx)
	if errors.Is(err, errUnchanged) {
		f.confirm(time.Now())
		return nil
	}
	if err != nil {
		return err
	}
	if err := f.load(text, sig); err != nil {
		return err
	}
	remember()
	f.confirm(time.Now())
	if err := f.keep(text, sig); err != nil {
		return fmt.Errorf("the list is in force, but was not kept for the next start: %w", err)
	}
	return nil
}

// load judges a list and puts it in force.
func (f *feed) load(text, sig []byte) error {
	if err := f.verify(text, sig); err != nil {
		return err
	}
	set, unread, err := parseList(text)
	if err != nil {
		return err
	}
	f.install(set)
	listUnread.WithLabelValues(f.Name).Set(float64(unread))
	return nil
}

// install puts a list in force.
func (f *feed) install(set *prefixset.Set) {
	f.set.Store(set)
	if f.swapped != nil {
		f.swapped()
	}
	listEntries.WithLabelValues(f.Name).Set(float64(set.Len()))
}

// confirm says that the list in force was good at a time.
func (f *feed) confirm(at time.Time) {
	f.confirmed.Store(at.Unix())
	listConfirmed.WithLabelValues(f.Name).Set(float64(at.Unix()))
	if f.File == "" {
		_ = os.Chtimes(f.kept(), at, at) // else it seems older after a restart
	}
}

// report tells of what is wrong, once for as long as it stays the same, and of a list that has grown old.
func (f *feed) report(err error) {
	now := time.Now()
	if err == nil {
		f.failing, f.told = "", false
		return
	}
	if detail := f.Name + ": " + err.Error(); detail != f.failing && !errors.Is(err, context.Canceled) {
		f.failing = detail
		f.publish(event.Event{Time: now, Kind: event.BlocklistRejected, Detail: detail})
	}
	since := f.began
	if at := f.confirmed.Load(); at != 0 {
		since = time.Unix(at, 0)
	}
	if now.Sub(since) > f.stale && !f.told {
		f.told = true
		f.publish(event.Event{Time: now, Kind: event.BlocklistStale, Detail: fmt.Sprintf("%s: no good list since %s; the last one stays in force", f.Name, since.UTC().Format(time.RFC3339))})
	}
}

// get returns the list and its signature; remember notes that it need not be read again while it is the same.
func (f *feed) get(ctx context.Context) (text, sig []byte, remember func(), err error) {
	if f.File != "" {
		return f.read()
	}
	text, header, err := f.fetch(ctx, f.URL, true)
	if err == nil && f.key != nil {
		sig, _, err = f.fetch(ctx, f.URL+".sig", false)
	}
	remember = func() { f.etag, f.modified = header.Get("ETag"), header.Get("Last-Modified") }
	return text, sig, remember, err
}

// read reads the file, if its time or size are other than when it was last good.
func (f *feed) read() (text, sig []byte, remember func(), err error) {
	file, err := os.Open(f.File)
	if err != nil {
		return nil, nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, nil, err
	}
	stamp := fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size())
	if stamp == f.stamp {
		return nil, nil, nil, errUnchanged
	}
	if text, err = io.ReadAll(io.LimitReader(file, maxListSize+1)); err != nil {
		return nil, nil, nil, err
	}
	if f.key != nil {
		if sig, err = os.ReadFile(f.File + ".sig"); err != nil {
			return nil, nil, nil, err
		}
	}
	return text, sig, func() { f.stamp = stamp }, nil
}

func (f *feed) fetch(ctx context.Context, url string, conditional bool) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("User-Agent", "Gatehouse")
	if conditional && f.etag != "" {
		r.Header.Set("If-None-Match", f.etag)
	} else if conditional && f.modified != "" {
		r.Header.Set("If-Modified-Since", f.modified)
	}
	res, err := f.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified && conditional:
		return nil, nil, errUnchanged
	case res.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("%s answers %s", url, res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxListSize+1))
	return text, res.Header, err
}

func (f *feed) kept() string { return filepath.Join(f.folder, f.Name+".list") }

// keep writes the list down for the next start.
func (f *feed) keep(text, sig []byte) error {
	if err := os.MkdirAll(f.folder, 0o700); err != nil {
		return err
	}
	if sig != nil {
		if err := wholefile.Replace(f.kept()+".sig", sig); err != nil {
			return err
		}
	}
	return wholefile.Replace(f.kept(), text)
}

// restore puts the list of an earlier process in force, if it is still good in the eyes of this configuration.
func (f *feed) restore() {
	info, err := os.Stat(f.kept())
	if err != nil {
		return
	}
	text, err := os.ReadFile(f.kept())
	if err != nil {
		return
	}
	if f.stream != nil {
		f.stream.restore(text)
		if f.loadStream() == nil {
			f.confirm(info.ModTime())
		}
		return
	}
	sig, _ := os.ReadFile(f.kept() + ".sig") // verify minds
	if f.load(text, sig) == nil {
		f.confirm(info.ModTime())
	}
}

// forget takes a list out of the metrics.
func (f *feed) forget() {
	listEntries.DeleteLabelValues(f.Name)
	listUnread.DeleteLabelValues(f.Name)
	listConfirmed.DeleteLabelValues(f.Name)
}

// ban is what who is in the list is told. A second factor of the session will do, whenever it was proven.
func (f *feed) ban(addr netip.Addr) *Ban {
	b := &Ban{
		Whom: clients(netip.PrefixFrom(addr, addr.BitLen())), Action: f.Action, Jail: "blocklist " + f.Name, Until: time.Now().Add(f.every),
		Detail: "the address is in the list",
	}
	if b.Action.shuts() {
		b.Since = time.Unix(f.confirmed.Load(), 0)
	}
	return b
}
