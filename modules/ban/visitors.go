package ban

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/clientip"
)

const (
	slots       = 12 // of an hour
	slotLasts   = 5 * time.Minute
	maxVisitors = 1 << 16 // networks that are remembered
	maxUsers    = 8       // whose names are remembered of one network
)

// visitors remembers the last hour's requests by network, so that an operator can be told whom a ban would hit before it
// does. It forgets who was there longest ago when there are too many. Make one with newVisitors; it is safe for concurrent use.
type visitors struct{ shards [16]visitorShard }

type visitorShard struct {
	mu       sync.Mutex
	networks map[netip.Prefix]*visits // guarded by mu
}

// visits are one network's requests. Slot i%slots holds those of the i-th five minutes since 1970, if last-slots < i <= last.
type visits struct {
	last  int64
	count [slots]uint32
	users []string
	more  bool // there were more than maxUsers
}

func newVisitors() *visitors {
	v := new(visitors)
	for i := range v.shards {
		v.shards[i].networks = map[netip.Prefix]*visits{}
	}
	return v
}

func slotOf(now time.Time) int64 { return now.Unix() / int64(slotLasts/time.Second) }

// record counts a request. user is "" when nobody was logged in.
func (v *visitors) record(client netip.Addr, user string, now time.Time) {
	network := clientip.Network(client)
	b := client.As16()
	sh := &v.shards[(b[15]^b[7]^b[5])%16]
	slot := slotOf(now)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := sh.networks[network]
	if n == nil {
		if len(sh.networks) >= maxVisitors/len(v.shards) {
			sh.makeRoom()
		}
		n = &visits{last: slot}
		sh.networks[network] = n
	}
	n.advance(slot)
	n.count[slot%slots]++
	switch {
	case user == "" || slices.Contains(n.users, user):
	case len(n.users) < maxUsers:
		n.users = append(n.users, user)
	default:
		n.more = true
	}
}

// makeRoom drops, of some networks, the one that was there longest ago. The caller holds mu.
func (sh *visitorShard) makeRoom() {
	const looks = 16
	var oldest netip.Prefix
	last, seen := int64(0), 0
	for network, n := range sh.networks {
		if seen == 0 || n.last < last {
			oldest, last = network, n.last
		}
		if seen++; seen == looks {
			break
		}
	}
	delete(sh.networks, oldest)
}

// advance clears what is older than an hour. Who was away for so long has no users any more.
func (n *visits) advance(slot int64) {
	if slot-n.last >= slots {
		*n = visits{last: slot}
		return
	}
	for n.last < slot {
		n.last++
		n.count[n.last%slots] = 0
	}
}

// Foresight says whom a ban would hit, by the last hour.
type Foresight struct {
	Network  netip.Prefix `json:"network"`
	Refused  string       `json:"refused,omitempty"` // why it could not be banned at all
	Requests int          `json:"requests"`          // of the network
	Of       int          `json:"of"`                // of everybody
	Clients  int          `json:"clients"`           // IPv4 addresses and IPv6 /64s
	Users    []string     `json:"users"`             // who was logged in, provider:subject, sorted
	More     bool         `json:"more,omitempty"`    // there were more users
	Running  int          `json:"running"`           // requests that would be cut
}

// Foresee says whom a ban of the network would hit. It bans nobody.
func (d *Desk) Foresee(network netip.Prefix) Foresight {
	f := d.visitors.in(network, time.Now())
	if err := d.mayBan(network); err != nil {
		f.Refused = err.Error()
	}
	f.Running = d.present.in(network)
	return f
}

func (v *visitors) in(network netip.Prefix, now time.Time) Foresight {
	f := Foresight{Network: network, Users: []string{}}
	for i := range v.shards {
		sh := &v.shards[i]
		sh.mu.Lock()
		for of, n := range sh.networks {
			n.advance(slotOf(now))
			requests := 0
			for _, c := range n.count {
				requests += int(c)
			}
			f.Of += requests
			if requests == 0 || !network.Overlaps(of) {
				continue
			}
			f.Requests += requests
			f.Clients++
			f.Users = append(f.Users, n.users...)
			f.More = f.More || n.more
		}
		sh.mu.Unlock()
	}
	slices.Sort(f.Users)
	f.Users = slices.Compact(f.Users)
	return f
}
