package authn

import (
	"net/http"
	"net/netip"
	"strings"
)

// metaOf says where a session is begun, in as few words as let its owner recognise it.
func metaOf(r *http.Request, client netip.Addr) Meta {
	return Meta{Agent: agent(r.UserAgent()), Network: network(client)}
}

// network is the client's neighbourhood: enough to recognise home, too little to find it. "" when there is none.
func network(client netip.Addr) string {
	if !client.IsValid() {
		return ""
	}
	bits := 24
	if client.Is6() {
		bits = 48
	}
	prefix, err := client.Prefix(bits)
	if err != nil {
		return ""
	}
	return prefix.String()
}

// Words to look for in a User-Agent, the most telling first: browsers name those that they descend from too.
var (
	browsers = [][2]string{
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Vivaldi/", "Vivaldi"},
		{"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
		{"curl/", "curl"}, {"git/", "git"},
	}
	systems = [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"},
		{"Macintosh", "macOS"}, {"Linux", "Linux"},
	}
)

// agent is what a User-Agent says in words of ours, none of the client's: "Firefox on Linux". "" when it says nothing known.
func agent(header string) string {
	header = header[:min(len(header), 512)]
	find := func(words [][2]string) string {
		for _, w := range words {
			if strings.Contains(header, w[0]) {
				return w[1]
			}
		}
		return ""
	}
	browser, system := find(browsers), find(systems)
	switch {
	case browser == "":
		return system
	case system == "":
		return browser
	}
	return browser + " on " + system
}
