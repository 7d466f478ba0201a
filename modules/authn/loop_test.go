package authn

import (
	"strconv"
	"testing"
	"time"
)

func TestHops(t *testing.T) {
	start := time.Now()
	at := func(s ...float64) (times []time.Time) {
		for _, x := range s {
			times = append(times, start.Add(time.Duration(x*float64(time.Second))))
		}
		return times
	}
	tests := []struct {
		name   string
		logins []time.Time
		now    float64
		want   bool
	}{
		{"never", nil, 0, false},
		{"twice", at(0, 1), 2, false},
		{"three times within ten seconds", at(0, 3, 6), 9.9, true},
		{"three times, but slowly", at(0, 5, 9.5), 10.5, false},
		{"four times, the last three quickly", at(0, 8, 9, 10), 12, true},
		{"long ago", at(0, 1, 2), 60, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h hops
			for _, x := range tt.logins {
				h.note("browser", x)
			}
			now := at(tt.now)[0]
			if h.looping("other", now) || h.looping("", now) {
				t.Error("another browser is told")
			}
			if got := h.looping("browser", now); got != tt.want {
				t.Errorf("looping = %v, want %v", got, tt.want)
			}
			if h.looping("browser", now) {
				t.Error("whoever tries again is told again at once")
			}
		})
	}
}

func TestHopsForget(t *testing.T) {
	var h hops
	now := time.Now()
	for range hopsMany {
		h.note("browser", now)
		h.note("", now)
	}
	h.forget("browser")
	if h.looping("browser", now) || h.looping("", now) {
		t.Error("still known")
	}
}

func TestHopsAreBounded(t *testing.T) {
	var h hops
	now := time.Now()
	for i := range 3 * hopsLimit {
		h.note(strconv.Itoa(i), now.Add(time.Duration(i)*time.Millisecond))
		if len(h.last) > hopsLimit {
			t.Fatalf("%d browsers are remembered", len(h.last))
		}
	}
}
