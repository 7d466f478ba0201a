package page

import (
	"fmt"
	"strings"
	"time"
)

// Device asks for the user code that a program shows (RFC 8628), or, with a UserCode, whether that program shall get a key of the
// person's. The first form asks Action with the field user_code; the second one is posted there with the fields csrf, user_code and
// do, which is approve or deny. Client is what the program calls itself, Address where it is, Far that this is another network
// than the person's. Name is who is signed in.
type Device struct {
	Site, RequestID string
	Action, CSRF    string
	AccountURL      string
	UserCode        string
	Client, Address string
	Host, Name      string
	Far             bool
	Paths, Methods  []string
	Scopes          []string
	Lasts           time.Duration
	Error           Message
}

// Keys shows a person the keys of their programs and devices. Each form is posted to Action with the fields csrf and revoke, which
// is a key's ID. PairURL is where another device is paired; "": nowhere.
type Keys struct {
	Site, RequestID     string
	Action, CSRF        string
	AccountURL, PairURL string
	Keys                []Key
	Done                bool
	Now                 time.Time
}

// Key is one of a person's keys. Zero times are left out.
type Key struct {
	ID, Name               string
	Hosts                  []string
	Created, Used, Expires time.Time
}

type keyView struct {
	Key
	Where, CreatedText, UsedText, ExpiresText string
}

var (
	devicePage = parse("device")
	keysPage   = parse("keys")
)

func (p Device) content(l *tongue) (content, bool) {
	if !local(p.AccountURL) {
		p.AccountURL = ""
	}
	return content{
		template: devicePage,
		Title:    l.words.DeviceTitle, Site: p.Site, RequestID: p.RequestID, Alert: p.Error.alert(l),
		Page: struct {
			Device
			For, Duration string
		}{p, p.Host + " " + strings.Join(p.Paths, " ") + suffix(" · ", p.Methods) + suffix(" · ", p.Scopes), l.span(wholeSeconds(p.Lasts))},
	}, local(p.Action)
}

// suffix is a list behind a separator, if there is one.
func suffix(sep string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	return sep + strings.Join(list, " ")
}

func (p Keys) content(l *tongue) (content, bool) {
	if !local(p.AccountURL) {
		p.AccountURL = ""
	}
	if !local(p.PairURL) {
		p.PairURL = ""
	}
	var rows []keyView
	for _, k := range p.Keys {
		row := keyView{Key: k, Where: strings.Join(k.Hosts, ", "), UsedText: l.words.NeverUsed}
		if row.Name == "" {
			row.Name = k.ID
		}
		row.CreatedText = fmt.Sprintf(l.words.AddedAgo, l.ago(p.Now.Sub(k.Created)))
		if !k.Used.IsZero() {
			row.UsedText = fmt.Sprintf(l.words.UsedAgo, l.ago(p.Now.Sub(k.Used)))
		}
		row.ExpiresText = fmt.Sprintf(l.words.KeyEnds, l.span(wholeSeconds(k.Expires.Sub(p.Now))))
		rows = append(rows, row)
	}
	c := content{
		template: keysPage,
		Title:    l.words.KeysTitle, Site: p.Site, RequestID: p.RequestID,
		Page: struct {
			Keys
			Rows []keyView
		}{p, rows},
	}
	if p.Done {
		c.Alert = alert{Text: l.words.KeyGone, Calm: true}
	}
	return c, local(p.Action)
}
