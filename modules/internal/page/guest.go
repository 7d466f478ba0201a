package page

import (
	"fmt"
	"time"
)

// GuestLink asks whoever was given a link whether it shall be opened now. It is posted to Action, without a field: what opens is
// in a cookie. Lasts is how long the access lasts, Left how often the link can be opened, this time included; Pin that it will
// work only from here. With Leave, the person is in already, and the form, with Leave as the field do, ends that; Lasts is what is
// left. With an Error there is no form.
type GuestLink struct {
	Site, RequestID string
	Action          string
	Leave           string
	Lasts           time.Duration
	Left            int
	Pin             bool
	Error           Message
}

var guestLinkPage = parse("guestlink")

func (p GuestLink) content(l *tongue) (content, bool) {
	w := &l.words
	title, lead, lasts, button := w.GuestTitle, w.GuestLead, w.GuestLasts, w.GuestOpen
	if p.Leave != "" {
		title, lead, lasts, button = w.GuestInTitle, w.GuestInLead, w.GuestInLasts, w.GuestLeave
	}
	left := ""
	if p.Left > 1 {
		left = fmt.Sprintf(w.GuestLeft, p.Left)
	} else if p.Left == 1 {
		left = w.GuestOnce
	}
	return content{
		template: guestLinkPage,
		Title:    title, Site: p.Site, RequestID: p.RequestID, Alert: p.Error.alert(l),
		Page: struct {
			GuestLink
			Lead, Duration, Uses, Button string
		}{p, lead, fmt.Sprintf(lasts, l.span(wholeSeconds(max(p.Lasts.Round(time.Minute), time.Minute)))), left, button},
	}, local(p.Action)
}
