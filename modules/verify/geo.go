package verify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"gatehouse.internal/modules/internal/prefixset"
)

const (
	maxGeoFile  = 512 << 20
	maxListFile = 64 << 20
	geoStale    = 60 * 24 * time.Hour // since the database was made
	geoCheck    = 15 * time.Second    // how often files are looked at
)

// geo is what databases say of an address. What they do not say is zero.
type geo struct {
	Country  string
	ASN      uint32
	Located  bool
	Lat, Lon float64
	Radius   float64 // km
}

// entry is what is read of a database's record: of City, Country and ASN databases alike.
type entry struct {
	Country struct {
		ISOCode string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
		Radius    uint16   `maxminddb:"accuracy_radius"`
	} `maxminddb:"location"`
	ASN uint32 `maxminddb:"autonomous_system_number"`
}

// trouble says what is wrong with a file: problem "" when nothing is any more.
type trouble struct{ Path, Problem string }

// places answers questions about addresses from files that may change at any time. It is safe for concurrent use. A file that
// cannot be read leaves what was read before in force; one that never could says nothing.
type places struct {
	databases, lists []*watched
	tell             func(trouble)
}

// watched is a file, and what was read from it last.
type watched struct {
	path string
	mu   sync.Mutex // one reader at a time
	seen string     // guarded by mu; size and time of what was looked at last
	said string     // guarded by mu; what was told of it last

	db   atomic.Pointer[maxminddb.Reader]
	list atomic.Pointer[list]
}

// list are networks: prefixes, and autonomous systems.
type list struct {
	prefixes *prefixset.Set
	systems  map[uint32]struct{}
}

func newPlaces(databases, lists []string, tell func(trouble)) *places {
	p := &places{tell: tell}
	for _, path := range databases {
		p.databases = append(p.databases, &watched{path: path})
	}
	for _, path := range lists {
		p.lists = append(p.lists, &watched{path: path})
	}
	return p
}

// refresh reads the files that have changed.
func (p *places) refresh(now time.Time) {
	for _, w := range p.databases {
		w.refresh(p.tell, func(raw []byte) (string, error) {
			// From memory: a file that is cut short while it is mapped would end the process.
			db, err := maxminddb.OpenBytes(raw)
			if err != nil {
				return "", err
			}
			if err := db.Verify(); err != nil {
				return "", err
			}
			w.db.Store(db)
			if made := time.Unix(int64(db.Metadata.BuildEpoch), 0); now.Sub(made) > geoStale {
				return "stale: it was made on " + made.UTC().Format(time.DateOnly) + ", and goes on being used", nil
			}
			return "", nil
		}, maxGeoFile)
	}
	for _, w := range p.lists {
		w.refresh(p.tell, func(raw []byte) (string, error) {
			l, err := parseList(raw)
			if err == nil {
				w.list.Store(l)
			}
			return "", err
		}, maxListFile)
	}
}

// refresh reads the file if it has changed, and tells of trouble once.
func (w *watched) refresh(tell func(trouble), read func([]byte) (string, error), most int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	info, err := os.Stat(w.path)
	seen := ""
	if err == nil {
		seen = fmt.Sprint(info.Size(), info.ModTime().UnixNano())
		if seen == w.seen {
			return
		}
	}
	w.seen = seen
	problem := ""
	switch {
	case err != nil:
		problem = "missing: " + err.Error()
	case info.Size() > most:
		problem = fmt.Sprintf("unusable: larger than %d MiB", most>>20)
	default:
		raw, err := os.ReadFile(w.path)
		if err == nil {
			problem, err = read(raw)
		}
		if err != nil {
			problem = "unusable: " + err.Error()
		}
	}
	if problem != w.said {
		w.said = problem
		tell(trouble{w.path, problem})
	}
}

// at returns what is known of the address, and whether it is on a list.
func (p *places) at(addr netip.Addr) (g geo, listed bool) {
	for _, w := range p.databases {
		db := w.db.Load()
		if db == nil {
			continue
		}
		var e entry
		if err := db.Lookup(addr).Decode(&e); err != nil { // a database of another kind, or a broken one: nothing is known
			continue
		}
		if e.Country.ISOCode != "" {
			g.Country = e.Country.ISOCode
		}
		if e.ASN != 0 {
			g.ASN = e.ASN
		}
		if lat, lon := e.Location.Latitude, e.Location.Longitude; lat != nil && lon != nil {
			g.Located, g.Lat, g.Lon, g.Radius = true, *lat, *lon, float64(e.Location.Radius)
		}
	}
	for _, w := range p.lists {
		if l := w.list.Load(); l != nil {
			_, byNumber := l.systems[g.ASN]
			listed = listed || byNumber && g.ASN != 0 || l.prefixes.Contains(addr)
		}
	}
	return g, listed
}

var errList = errors.New("want one network, address or AS number a line; # begins a remark")

// parseList reads networks, addresses and AS numbers, one a line.
func parseList(raw []byte) (*list, error) {
	l := &list{systems: map[uint32]struct{}{}}
	var prefixes []netip.Prefix
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if number, ok := strings.CutPrefix(strings.ToUpper(text), "AS"); ok {
			asn, err := strconv.ParseUint(number, 10, 32)
			if err != nil || asn == 0 {
				return nil, fmt.Errorf("line %d: %w", n, errList)
			}
			l.systems[uint32(asn)] = struct{}{}
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, errList)
			}
			p = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		}
		if p.Bits() == 0 {
			return nil, fmt.Errorf("line %d: %s is everybody", n, p)
		}
		prefixes = append(prefixes, p.Masked())
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	var err error
	l.prefixes, err = prefixset.New(prefixes...)
	return l, err
}
