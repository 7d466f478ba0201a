package verify

import (
	"math"
	"net/netip"
	"slices"
	"time"
)

const (
	earth      = 6371.0 // km
	tooFast    = 1000.0 // km/h
	farEnough  = 100.0  // km, beyond both radii
	leastHours = 1.0 / 60
)

// signals returns what is not as usual about the visit.
//
// roam has a device that is known bring its network along within its autonomous system, or the wider prefix: telephones
// and providers' address pools do that.
func (r *record) signals(v visit, hours Hours, roam bool, trusted func(netip.Addr) bool) (all []Signal) {
	if hours.off(v.Now) && !r.cleared(v, OffHours) {
		all = append(all, OffHours)
	}
	home := trusted(v.Addr)
	if v.Listed && !home && !r.cleared(v, Listed) {
		all = append(all, Listed)
	}
	if r.Since.IsZero() {
		return append(all, First)
	}
	known := r.knowsDevice(v.Device)
	if !known {
		all = append(all, NewDevice)
	}
	if home {
		return ordered(all)
	}
	if !r.knowsNetwork(v, roam && known) {
		all = append(all, NewNetwork)
	}
	if v.Geo.Country != "" && r.newCountry(v.Geo.Country) {
		all = append(all, NewCountry)
	}
	if r.tooFar(v) {
		all = append(all, Travel)
	}
	return ordered(all)
}

func ordered(all []Signal) []Signal {
	slices.SortFunc(all, func(a, b Signal) int { return slices.Index(Signals, a) - slices.Index(Signals, b) })
	return all
}

func (r *record) cleared(v visit, s Signal) bool {
	n := r.network(prefixOf(v.Addr))
	return n != nil && v.Now.Before(n.Cleared[s])
}

func (r *record) knowsNetwork(v visit, roam bool) bool {
	if r.network(prefixOf(v.Addr)) != nil {
		return true
	}
	wide := wideOf(v.Addr)
	return roam && slices.ContainsFunc(r.Networks, func(n network) bool {
		return n.ASN != 0 && n.ASN == v.Geo.ASN || wide.Contains(n.Prefix.Addr())
	})
}

// newCountry reports whether the person was in some country, and never in this one.
func (r *record) newCountry(code string) bool {
	some := false
	for _, n := range r.Networks {
		if n.Country == code {
			return false
		}
		some = some || n.Country != ""
	}
	return some
}

// tooFar reports whether nobody travels as fast as the person would have: what is uncertain about both places counts for
// them.
func (r *record) tooFar(v visit) bool {
	if !v.Geo.Located || r.Here.At.IsZero() {
		return false
	}
	km := distance(r.Here.Lat, r.Here.Lon, v.Geo.Lat, v.Geo.Lon) - r.Here.Radius - v.Geo.Radius
	took := math.Max(v.Now.Sub(r.Here.At).Hours(), leastHours)
	return km > farEnough && km/took > tooFast
}

// distance is along the great circle, in km.
func distance(lat1, lon1, lat2, lon2 float64) float64 {
	const rad = math.Pi / 180
	dlat, dlon := (lat2-lat1)*rad, (lon2-lon1)*rad
	a := math.Pow(math.Sin(dlat/2), 2) + math.Cos(lat1*rad)*math.Cos(lat2*rad)*math.Pow(math.Sin(dlon/2), 2)
	return 2 * earth * math.Asin(math.Sqrt(math.Min(a, 1)))
}

// due reports whether a visit without news should be written down all the same: so that what is in use is not forgotten, and
// the place is of today.
func (r *record) due(v visit) bool {
	n := r.network(prefixOf(v.Addr))
	return n == nil || v.Now.Sub(n.Last) > time.Hour || !r.knowsDevice(v.Device)
}
