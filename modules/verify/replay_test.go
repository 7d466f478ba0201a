package verify

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// somewhere is a kind of network that people, or attackers, come from: its /24 changes within its autonomous system.
type somewhere struct {
	name     string
	first    byte // of the address
	networks int
	geo      geo
	listed   bool
}

func (s somewhere) addr(r *rand.Rand, whose int) netip.Addr {
	n := whose*7 + r.IntN(s.networks)
	return netip.AddrFrom4([4]byte{s.first, byte(n >> 8), byte(n), byte(1 + r.IntN(250))})
}

var (
	workplace = somewhere{"office", 11, 1, berlin, false}
	home      = somewhere{"home", 12, 3, geo{Country: "DE", ASN: 3320, Located: true, Lat: 52.5, Lon: 13.4, Radius: 50}, false}
	telephone = somewhere{"telephone", 13, 40, geo{Country: "DE", ASN: 6805, Located: true, Lat: 51, Lon: 10, Radius: 500}, false}
	hotel     = somewhere{"hotel", 14, 60, hamburg, false}
	holiday   = somewhere{"holiday", 15, 60, geo{Country: "ES", ASN: 3352, Located: true, Lat: 39.6, Lon: 2.7, Radius: 50}, false}
	neighbour = somewhere{"neighbour", 12, 900, home.geo, false}
	hosted    = somewhere{"hosted", 16, 60, geo{Country: "NL", ASN: 9009, Located: true, Lat: 52.4, Lon: 4.9, Radius: 20}, true}
	abroad    = somewhere{"abroad", 17, 60, sydney, false}
)

// labelled is one visit of the replay.
type labelled struct {
	visit
	person int
	kind   string // "" : the person; otherwise the attack
}

// unseen is what nothing about a visit shows: that the same cookies come from the person's own provider (unless the person has just been seen elsewhere). Sessions end, and
// what matters asks for a second factor.
const unseen = "both cookies, from the same provider"

// replay is ninety days of so many people: each works at an office or at home, has a telephone, travels, buys a device now and
// then. One of four is attacked once: by somebody who knows the password, or who has stolen the cookie of the session and that
// of the device as well.
func replay(people int, r *rand.Rand) (all []labelled) {
	const days = 90
	for p := range people {
		computer, phone := fmt.Sprintf("computer %d", p), fmt.Sprintf("phone %d", p)
		visit := func(day int, hour, minutes float64, at somewhere, device string, attack string) {
			now := monday.Truncate(24*time.Hour).AddDate(0, 0, day).Add(time.Duration(hour*60+minutes) * time.Minute)
			all = append(all, labelled{visit{Addr: at.addr(r, p), Device: device, Now: now, Geo: at.geo, Listed: at.listed}, p, attack})
		}
		away := -1
		for day := range days {
			minutes := 30 * r.Float64()
			switch {
			case day == away || day == away+1:
			case day > 3 && r.IntN(100) == 0: // three days of holidays, reached by an aeroplane
				away = day + 1
				visit(day, 20, minutes, holiday, phone, "")
				visit(day+1, 10, minutes, holiday, phone, "")
			case day%7 > 4:
				visit(day, 11, minutes, home, phone, "")
			default:
				place := workplace
				if r.IntN(3) == 0 {
					place = home
				}
				if day > 3 && r.IntN(60) == 0 {
					place = hotel
				}
				visit(day, 7, minutes, telephone, phone, "")
				visit(day, 9, minutes, place, computer, "")
				visit(day, 14, minutes, place, computer, "")
			}
			if day > 3 && r.IntN(200) == 0 {
				computer += "'"
			}
		}
		day := 40 + r.IntN(40)
		switch p % 24 {
		case 0:
			visit(day, 3, 0, hosted, "", "password, from a hosted machine")
		case 1:
			visit(day, 15, 0, abroad, "", "password, from another continent")
		case 2:
			visit(day, 15, 0, neighbour, "", "password, from the same provider")
		case 3:
			visit(day, 15, 0, abroad, computer, "both cookies, from another continent")
		case 4:
			visit(day, 15, 0, hosted, computer, "both cookies, from a hosted machine")
		case 5:
			visit(day, 15, 0, neighbour, computer, unseen)
		}
	}
	slices.SortStableFunc(all, func(a, b labelled) int { return a.Now.Compare(b.Now) })
	return all
}

// TestLabelledReplay (CTB-03): of ninety days of ordinary life with attacks in it, all attacks that can be seen are asked to prove
// themselves, and of people's own visits few; what was asked for wrongly is a new device or a journey. The figures are those of
// made-up people, and say what the policy that a house comes with does, not how often somebody is attacked.
func TestLabelledReplay(t *testing.T) {
	const people = 480
	records, none := make([]record, people), func(netip.Addr) bool { return false }
	caught, missed, wrong := map[string]int{}, map[string]int{}, map[Signal]int{}
	asked, visits := 0, 0
	for _, v := range replay(people, rand.New(rand.NewPCG(3, 14))) {
		r := &records[v.person]
		signals, worst := r.signals(v.visit, Hours{}, true, none), Allow
		for _, s := range signals {
			worst = max(worst, outcome(s, nil, nil, func(string) bool { return false }, ""))
		}
		if slices.Contains(signals, First) {
			worst = Allow
		}
		switch held := worst >= StepUp; {
		case v.kind != "" && held:
			caught[v.kind]++
			continue // they cannot: nothing is learned
		case v.kind != "":
			missed[v.kind]++
		case held:
			asked++
			for _, s := range signals {
				if outcome(s, nil, nil, func(string) bool { return false }, "") >= StepUp {
					wrong[s]++
				}
			}
		}
		if v.kind == "" {
			visits++
		}
		r.learn(v.visit, signals, 90*24*time.Hour)
	}
	found := 0
	for kind, n := range caught {
		found += n
		if kind != unseen && n != people/24 {
			t.Errorf("%s: %d held of %d", kind, n, people/24)
		}
	}
	if len(missed) != 1 || len(caught) < 5 {
		t.Errorf("missed: %v", missed)
	}
	t.Logf("%d of %d attacks held (recall %.2f): %v; missed: %v", found, people/4, float64(found)/(people/4), caught, missed)
	t.Logf("%d of %d visits of people asked (%.2f %%, %.2f a person and month): %v; precision %.2f", asked, visits,
		100*float64(asked)/float64(visits), float64(asked)/people/3, wrong, float64(found)/float64(found+asked))
	if perMonth := float64(asked) / people / 3; perMonth > 0.8 {
		t.Errorf("a person is asked %.2f times a month", perMonth)
	}
	if others := asked - wrong[NewDevice] - wrong[NewCountry] - wrong[Travel]; others > 0 {
		t.Errorf("%d people's visits were asked for neither a device nor a journey: %v", others, wrong)
	}
}
