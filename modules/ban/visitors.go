package ban

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/identity"
)

const (
	slots       = 12 // of an hour
	slotLasts   = 5 * time.Minute
	maxVisitors = 1 << 16 // networks and names that are remembered
	maxUsers    = 8       // whose names are remembered of one network
)

// visitors remembers the last hour's requests by network and by name, so that an operator can be told whom a ban would hit before it
// does. It forgets who was there longest ago when there are too many. Make one with newVisitors; it is safe for concurrent use.
type visitors struct{ shards [16]visitorShard }

type visitorShard struct {
	mu  sync.Mutex
	all map[Whom]*visits // guarded by mu
}

// visits are one network's requests, or those under one name. Slot i%slots holds those of the i-th five minutes since 1970, if last-slots < i <= last.
type visits struct {
	last  int64
	count [slots]uint32
	users []string
	more  bool // there were more than maxUsers
}

func newVisitors() *visitors {
	v := new(visitors)
	for i := range v.shards {
		v.shards[i].all = map[Whom]*visits{}
	}
	return v
}

func slotOf(now time.Time) int64 { return now.Unix() / int64(slotLasts/time.Second) }

// record counts a request, for the network and for each name that it can be banned under.
func (v *visitors) record(client netip.Addr, who identity.Proof, now time.Time) {
	user := who.Name()
	b := client.As16()
	v.count(int(b[15]^b[7]^b[5]), clients(clientip.Network(client)), user, now)
	if user == "" {
		return
	}
	for _, s := range named {
		if w, ok := s.of(who); ok {
			v.count(int(maphash.String(seed, w.Name)%16), w, user, now)
		}
	}
}

var seed = maphash.MakeSeed()

func (v *visitors) count(shard int, whom Whom, user string, now time.Time) {
	sh := &v.shards[shard%16]
	slot := slotOf(now)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := sh.all[whom]
	if n == nil {
		if len(sh.all) >= maxVisitors/len(v.shards) {
			sh.makeRoom()
		}
		n = &visits{last: slot}
		sh.all[whom] = n
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
	var oldest Whom
	last, seen := int64(0), 0
	for whom, n := range sh.all {
		if seen == 0 || n.last < last {
			oldest, last = whom, n.last
		}
		if seen++; seen == looks {
			break
		}
	}
	delete(sh.all, oldest)
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
	Whom
	Refused  string   `json:"refused,omitempty"` // why there could not be such a ban at all
	Requests int      `json:"requests"`          // of whom it would hit
	Of       int      `json:"of"`                // of everybody
	Clients  int      `json:"clients"`           // IPv4 addresses and IPv6 /64s; of networks alone
	Users    []string `json:"users"`             // who was logged in, provider:subject, sorted
	More     bool     `json:"more,omitempty"`    // there were more users
	Running  int      `json:"running"`           // requests that would be cut
}

// Foresee says whom a ban would hit. It bans nobody.
func (d *Desk) Foresee(whom Whom) Foresight {
	f := d.visitors.in(whom, time.Now())
	if err := d.mayBan(whom); err != nil {
		f.Refused = err.Error()
	}
	f.Running = d.present.in(whom)
	return f
}

func (v *visitors) in(whom Whom, now time.Time) Foresight {
	f := Foresight{Whom: whom, Users: []string{}}
	for i := range v.shards {
		sh := &v.shards[i]
		sh.mu.Lock()
		for of, n := range sh.all {
			n.advance(slotOf(now))
			requests := 0
			for _, c := range n.count {
				requests += int(c)
			}
			if of.Scope == ByClient {
				f.Of += requests
			}
			switch hit := whom == of || whom.Scope == ByClient && of.Scope == ByClient && whom.Network.Overlaps(of.Network); {
			case requests == 0 || !hit:
				continue
			case whom.Scope == ByClient:
				f.Clients++
			}
			f.Requests += requests
			f.Users = append(f.Users, n.users...)
			f.More = f.More || n.more
		}
		sh.mu.Unlock()
	}
	slices.Sort(f.Users)
	f.Users = slices.Compact(f.Users)
	return f
}
