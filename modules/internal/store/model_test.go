package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// model is Store written as plainly as can be, with other means than the engines: no versions but ours to compare, times as time.Time.
type model struct {
	items    map[Key]modelItem
	counters map[Key]modelNumber
	buckets  map[Key]modelBucket
	seq      uint64
}

type modelItem struct {
	value   string
	version uint64
	until   time.Time
	index   []string
}

type modelNumber struct {
	n     int64
	until time.Time
}

// modelBucket is a token bucket that counts: tokens in nanoseconds of refill at a time.
type modelBucket struct {
	has time.Duration
	at  time.Time
}

func dead(until time.Time) bool { return !until.IsZero() && !time.Now().Before(until) }

func until(ttl time.Duration) time.Time {
	if ttl == 0 {
		return time.Time{}
	}
	return time.Now().Add(ttl)
}

func (m *model) get(k Key) (modelItem, bool) {
	it, ok := m.items[k]
	return it, ok && !dead(it.until)
}

func (m *model) put(k Key, v string, o PutOptions) error {
	it, ok := m.get(k)
	if o.Match == Absent && ok || o.Match == Version && (!ok || it.version != o.Version) {
		return ErrConflict
	}
	m.seq++
	m.items[k] = modelItem{v, m.seq, until(o.TTL), o.Index}
	return nil
}

func (m *model) incr(k Key, n int64, ttl time.Duration) int64 {
	c, ok := m.counters[k]
	if !ok || dead(c.until) {
		c = modelNumber{until: until(ttl)}
	}
	c.n += n
	if n != 0 {
		m.counters[k] = c
	}
	return c.n
}

func (m *model) lease(k Key, l Limit, want int64) int64 {
	depth := time.Duration(l.Burst) * l.Every
	b, ok := m.buckets[k]
	if !ok {
		b = modelBucket{has: depth}
	} else {
		b.has = min(depth, b.has+time.Since(b.at))
	}
	got := min(want, int64(b.has/l.Every))
	b.has -= time.Duration(got) * l.Every
	b.at = time.Now()
	m.buckets[k] = b
	return got
}

func (m *model) scan(b Bucket, index string) map[Key]string {
	got := map[Key]string{}
	for k := range m.items {
		if it, ok := m.get(k); ok && k.Bucket == b && (index == "" || slices.Contains(it.index, index)) {
			got[k] = it.value
		}
	}
	return got
}

var modelTTL = []time.Duration{0, time.Second, 90 * time.Second, time.Hour}

// step does what four bytes say to both, and compares.
func (m *model) step(s Store, op, a, b, c byte) error {
	k := Key{Bucket([]string{"a", "ab"}[a>>3&1]), string(rune('0' + a&7))}
	ttl, index := modelTTL[b&3], fmt.Sprint("x", c&1)
	switch op % 10 {
	case 0, 1:
		o := PutOptions{TTL: ttl, Match: Match(b >> 2 % 3), Version: m.items[k].version + uint64(c>>7)}
		for i := range c & 3 {
			o.Index = append(o.Index, fmt.Sprint("x", i))
		}
		value := fmt.Sprint(op, a, b, c)
		wantErr := m.put(k, value, o)
		_, err := s.Put(ctx, k, []byte(value), o)
		return check(err, wantErr, nil, nil)
	case 2:
		want, ok := m.get(k)
		it, err := s.Get(ctx, k)
		return check(err, found(ok), string(it.Value), want.valueIf(ok))
	case 3:
		want, ok := m.get(k)
		delete(m.items, k)
		it, err := s.Take(ctx, k)
		return check(err, found(ok), string(it.Value), want.valueIf(ok))
	case 4:
		delete(m.items, k)
		delete(m.counters, k)
		delete(m.buckets, k)
		return s.Delete(ctx, k)
	case 5:
		want := m.scan(k.Bucket, index)
		for k := range want {
			delete(m.items, k)
		}
		gone, err := s.DeleteIndexed(ctx, k.Bucket, index)
		return check(err, nil, len(gone), len(want))
	case 6:
		to := time.Now().Add(modelTTL[b&3])
		if it, ok := m.get(k); ok && !it.until.IsZero() && to.After(it.until) {
			it.until = to
			m.items[k] = it
		}
		return s.Touch(ctx, map[Key]time.Time{k: to})
	case 7:
		want := m.incr(k, int64(int8(c)), ttl)
		n, err := s.Incr(ctx, k, int64(int8(c)), ttl)
		return check(err, nil, n, want)
	case 8:
		l := Limit{Burst: 5, Every: 2 * time.Second}
		want := m.lease(k, l, int64(c&7))
		got, _, err := s.Lease(ctx, k, l, int64(c&7))
		return check(err, nil, got, want)
	default:
		time.Sleep(time.Duration(b) * 100 * time.Millisecond)
		return nil
	}
}

func (it modelItem) valueIf(ok bool) string {
	if !ok {
		return ""
	}
	return it.value
}

func found(ok bool) error {
	if ok {
		return nil
	}
	return ErrNotFound
}

func check(err, wantErr error, got, want any) error {
	if !errors.Is(err, wantErr) || got != want {
		return fmt.Errorf("got %v, %v; want %v, %v", got, err, want, wantErr)
	}
	return nil
}

// compare looks at everything.
func (m *model) compare(s Store) error {
	for _, b := range []Bucket{"a", "ab"} {
		for _, index := range []string{"", "x0", "x1", "x2"} {
			got := map[Key]string{}
			for it, err := range s.Scan(ctx, b, index) {
				if err != nil {
					return err
				}
				got[it.Key] = string(it.Value)
				if want := m.items[it.Key]; !it.Expires.Equal(want.until) || it.Version != want.version {
					return fmt.Errorf("%v: version %d until %v; want %d until %v", it.Key, it.Version, it.Expires, want.version, want.until)
				}
			}
			if diff := cmp.Diff(m.scan(b, index), got); diff != "" {
				return fmt.Errorf("scan(%s, %s) (-want +got):\n%s", b, index, diff)
			}
		}
	}
	return nil
}

func runModel(t *testing.T, ops []byte, s Store) {
	m := &model{items: map[Key]modelItem{}, counters: map[Key]modelNumber{}, buckets: map[Key]modelBucket{}}
	for i, op := range slices.Collect(slices.Chunk(ops, 4)) {
		if len(op) < 4 {
			break
		}
		err := m.step(s, op[0], op[1], op[2], op[3])
		if err == nil && i%16 == 15 {
			err = m.compare(s)
		}
		if err != nil {
			t.Fatalf("%T, op %d %v: %v", s, i, op, err)
		}
	}
	if err := m.compare(s); err != nil {
		t.Fatalf("%T, at the end: %v", s, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 0, 5, 1, 2, 0, 0, 0, 9, 0, 255, 0, 2, 0, 0, 0})
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		ops := make([]byte, 4*100)
		for i := range ops {
			ops[i] = byte(rnd.Uint32())
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		ops = ops[:min(len(ops), 4*120)]
		synctest.Test(t, func(t *testing.T) {
			runModel(t, ops, NewMemory())
			runModel(t, ops, open(t, file(t), EmbeddedOptions{noSync: true, Sweep: 7 * time.Second}))
		})
	})
}
