package alert

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/mail"
)

// Notice is what receivers are told.
type Notice struct {
	ID     string `json:"id"`     // the same, however often it is sent
	Status string `json:"status"` // firing, ongoing, resolved or test
	Alert
	At      time.Time `json:"at"`
	Node    string    `json:"node"`
	Runbook string    `json:"runbook"`
	Text    string    `json:"text"` // all of it in one line, for chats
}

func newNotice(c change, now time.Time, node, runbooks string) Notice {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails: it ends the program instead
	n := Notice{
		ID: hex.EncodeToString(id), Status: c.Status, Alert: c.Alert, At: now.UTC(), Node: node,
		Runbook: runbooks + "#" + strings.ToLower(c.Name),
	}
	n.Since = n.Since.UTC()
	n.Text = fmt.Sprintf("[%s] %s: %s", strings.ToUpper(n.word()), node, n.Summary)
	return n
}

// word is what somebody has to see first.
func (n *Notice) word() string {
	if n.Status == firing {
		return n.Severity
	}
	return n.Status
}

// letter is the notice as mail.
func (n *Notice) letter(to []string) mail.Letter {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", n.Summary)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s%s\n", name+":", value)
		}
	}
	line("Alert", n.Name)
	line("Status", n.Status)
	line("Class", n.Class)
	line("Severity", n.Severity)
	line("About", n.Subject)
	line("Gateway", n.Node)
	line("Since", n.Since.Format(time.RFC3339))
	if !n.Ended.IsZero() {
		line("Over", n.Ended.UTC().Format(time.RFC3339))
	}
	if n.Count > 0 {
		line("Count", fmt.Sprint(n.Count))
	}
	line("Runbook", n.Runbook)
	return mail.Letter{To: to, Subject: n.Text, Body: b.String()}
}

// sender takes a notice to a receiver, and returns when it is there.
type sender interface {
	send(ctx context.Context, n Notice) error
}

// mailer sends notices by mail.
type mailer struct {
	postman *mail.Postman
	to      []string
}

func (m mailer) send(ctx context.Context, n Notice) error { return m.postman.Send(ctx, n.letter(m.to)) }
