package ban

import (
	"container/list"
	"slices"
	"time"
)

// maxCounted is how many networks and names are remembered for their offences, of all jails together; the one whose last offence
// is longest ago is forgotten first.
const maxCounted = 1 << 16

type offender struct {
	jail string
	whom Whom
}

type record struct {
	who   offender
	times []time.Time // of the last offences, the oldest first; at most as many as bring a ban
}

// counter remembers who has offended when. It is for one goroutine at a time.
type counter struct {
	most    int
	records map[offender]*list.Element // of *record
	order   *list.List                 // the last to offend is in front
}

func newCounter(most int) *counter {
	return &counter{most: most, records: map[offender]*list.Element{}, order: list.New()}
}

// offend counts an offence weight times and reports whether it is the one that brings the ban; then it begins anew.
func (c *counter) offend(j *Jail, whom Whom, now time.Time, weight int) bool {
	who := offender{j.Name, whom}
	at, ok := c.records[who]
	if !ok {
		at = c.order.PushFront(&record{who: who})
		c.records[who] = at
		if c.order.Len() > c.most {
			oldest := c.order.Remove(c.order.Back()).(*record)
			delete(c.records, oldest.who)
		}
	}
	c.order.MoveToFront(at)
	r := at.Value.(*record)
	old := 0
	for old < len(r.times) && now.Sub(r.times[old]) >= j.find {
		old++
	}
	r.times = append(r.times[old:], slices.Repeat([]time.Time{now}, min(weight, j.MaxRetry))...)
	if len(r.times) < j.MaxRetry {
		return false
	}
	c.order.Remove(at)
	delete(c.records, who)
	return true
}
