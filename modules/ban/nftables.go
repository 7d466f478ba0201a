package ban

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"gatehouse.internal/modules/internal/wholefile"
)

const (
	nftLook  = time.Second     // how often it is looked whether the bans have changed
	nftAgain = 5 * time.Minute // how often the file is written although they have not: what it says of time grows old
)

// Nftables writes the networks that are refused as a file for nft -f: two sets whose elements end when the bans do. It puts them
// in the place of what the sets held, in one step. A network within a wider one that is banned is left out, for nftables wants no
// overlaps; so is who is only kept waiting or asked for a second factor, and whoever is in a blocklist.
func (d *Desk) Nftables() []byte {
	now := time.Now()
	var all []*Ban
	r := d.rules.Load()
	for b := range d.bans.all() {
		if b.Scope == ByClient && b.Action == Refuse && now.Before(b.Until) && r != nil && !r.spares(b.Network) {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b *Ban) int { return a.Network.Compare(b.Network) }) // a wider one stands before what is in it
	var out bytes.Buffer
	out.WriteString("# written by gatehouse; load it with nft -f\nadd table inet gatehouse\n")
	for _, family := range []struct {
		set, kind string
		is        func(netip.Addr) bool
	}{{"banned4", "ipv4_addr", netip.Addr.Is4}, {"banned6", "ipv6_addr", netip.Addr.Is6}} {
		fmt.Fprintf(&out, "add set inet gatehouse %s { type %s; flags interval, timeout; }\n", family.set, family.kind)
		fmt.Fprintf(&out, "flush set inet gatehouse %s\n", family.set)
		var last netip.Prefix
		begun := false
		for _, b := range all {
			if !family.is(b.Network.Addr()) || last.IsValid() && last.Overlaps(b.Network) {
				continue
			}
			last = b.Network
			if !begun {
				begun = true
				fmt.Fprintf(&out, "add element inet gatehouse %s {\n", family.set)
			}
			fmt.Fprintf(&out, "\t%s timeout %ds,\n", clients(b.Network), int(b.Until.Sub(now).Seconds())+1)
		}
		if begun {
			out.WriteString("}\n")
		}
	}
	return out.Bytes()
}

// keepNftables keeps the file current until ctx ends. failed is told what is wrong, once for as long as it stays the same.
func (d *Desk) keepNftables(ctx context.Context, file string, failed func(error)) {
	look := time.NewTicker(nftLook)
	defer look.Stop()
	var written time.Time
	var of int64 = -1
	said := ""
	for {
		if now := d.bans.changes.Load(); now != of || time.Since(written) >= nftAgain {
			err := wholefile.Replace(file, d.Nftables())
			if err == nil {
				of, written, said = now, time.Now(), ""
			} else if err.Error() != said {
				said = err.Error()
				failed(err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// Export has the desk keep this file current, and no other, from now on; "": none.
func (d *Desk) Export(file string, failed func(error)) {
	d.exporting.Lock()
	defer d.exporting.Unlock()
	if d.endExport != nil {
		d.endExport()
		d.endExport = nil
	}
	if file == "" || d.life.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(d.life)
	done := make(chan struct{})
	d.endExport = func() { cancel(); <-done }
	go func() {
		defer close(done)
		d.keepNftables(ctx, file, failed)
	}()
}
