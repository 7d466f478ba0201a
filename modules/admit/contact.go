package admit

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/verdict"
)

// openSecurityTxt readies the site's security.txt, and has it told of before it expires.
func (h *Handler) openSecurityTxt(house *gatehouse.App, where string) error {
	if h.SecurityTxt == nil {
		return nil
	}
	var canonical []string
	for _, host := range h.site.Hosts {
		if !strings.Contains(host, "*") {
			canonical = append(canonical, "https://"+host+securityPath)
		}
	}
	now := time.Now()
	text, until, err := h.SecurityTxt.render(canonical, now)
	if err != nil {
		return gatehouse.Refused(fmt.Errorf("%ssecurity_txt: %w", where, err))
	}
	h.contact = text
	house.AtStart(func() {
		h.expiry = time.AfterFunc(max(time.Until(until.Add(-expiresSoon)), 0), func() {
			if state, err := house.State(); err == nil {
				state.Bus.Publish(event.Event{
					Time: time.Now(), Kind: event.SecurityTxtOld, Site: h.site.Name,
					Detail: fmt.Sprintf("the security.txt of %s expires at %s: write a later date into the Caddyfile, or have the file signed anew", h.site.Name, until.UTC().Format(time.RFC3339)),
				})
			}
		})
	})
	return nil
}

// Cleanup implements caddy.CleanerUpper.
func (h *Handler) Cleanup() error {
	if h.expiry != nil {
		h.expiry.Stop()
	}
	return nil
}

// showSecurityTxt answers for everybody, before anybody is asked who they are.
func (h *Handler) showSecurityTxt(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !slices.Contains([]string{http.MethodGet, http.MethodHead}, r.Method) {
		return req.Deny(verdict.BadMethod, "security.txt is only read")
	}
	w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
	w.Header()["Cache-Control"] = []string{"public, max-age=3600"}
	w.Header()["X-Content-Type-Options"] = []string{"nosniff"}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(h.contact))
	return nil
}
