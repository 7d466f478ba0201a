package ban

import (
	"strings"
	"testing"
)

// sshd are the patterns that the manual shows.
var sshd = &LogFilter{Files: []string{"/var/log/auth.log"}, Fail: []string{
	`^\S+ +(?:\d+ [\d:]+ )?\S+ sshd(?:-session)?\[\d+\]: Failed \S+ for .* from <HOST> port \d+(?: ssh2)?$`,
	`^\S+ +(?:\d+ [\d:]+ )?\S+ sshd(?:-session)?\[\d+\]: Connection (?:closed|reset) by (?:authenticating|invalid) user .* <HOST> port \d+ \[preauth\]$`,
}}

// Whose offence a line of Debian's sshd is, also when the user's name is an attempt to have somebody else banned.
func TestLogOffenders(t *testing.T) {
	if err := sshd.compile(); err != nil {
		t.Fatal(err)
	}
	custom := &LogFilter{Files: []string{"/var/log/x"}, Fail: []string{`^<ADDR> - refused`, `refused: client=<HOST>(?:[,. ].*)?$`}, Ignore: []string{`healthcheck`}}
	if err := custom.compile(); err != nil {
		t.Fatal(err)
	}
	const head = "Nov 29 04:00:01 gate sshd[4711]: "
	for _, tt := range []struct {
		of         *LogFilter
		line, want string
	}{
		{sshd, head + "Failed password for root from 198.51.100.9 port 50022 ssh2", "198.51.100.9"},
		{sshd, "Nov  9 04:00:01 gate sshd[4711]: Failed password for invalid user admin from 2001:db8:1::9 port 50022 ssh2", "2001:db8:1::9"},
		{sshd, "2026-11-29T04:00:01.123456+00:00 gate sshd-session[4711]: Failed publickey for ada from ::ffff:198.51.100.9 port 50022 ssh2", "198.51.100.9"},
		{sshd, head + "Connection closed by authenticating user root 198.51.100.9 port 50022 [preauth]", "198.51.100.9"},
		{sshd, head + "Accepted publickey for ada from 198.51.100.9 port 50022 ssh2", ""},
		{sshd, head + "Failed password for invalid user x from 203.0.113.1 port 22 ssh2 from 198.51.100.9 port 50022 ssh2", "198.51.100.9"},
		{sshd, head + "Invalid user Failed password for root from 203.0.113.1 port 22 ssh2 from 198.51.100.9 port 50022", ""},
		{sshd, head + "Failed password for root from 198.51.100.9 port 50022 ssh2\r", ""}, // whoever reads the file has taken it away
		{sshd, head + "Failed password for root from 198.51.100.9.example.net port 50022 ssh2", ""},
		{sshd, "Nov 29 04:00:01 gate cron[1]: Failed password for root from 198.51.100.9 port 50022 ssh2", ""},
		{custom, "198.51.100.9 - refused", "198.51.100.9"},
		{custom, "refused: client=[2001:db8::9]", "2001:db8::9"},
		{custom, "refused: client=2001:db8::9%eth0", "2001:db8::9"},
		{custom, "refused: client=198.51.100.9, a healthcheck", ""},
		{custom, "refused: client=198.51.100.9.example.net", ""},
		{custom, "refused: client=198.51.100.999", ""},
		{custom, "refused: client=2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"},
	} {
		addr, is := tt.of.offender([]byte(tt.line))
		if got := addr.String(); is != (tt.want != "") || is && got != tt.want {
			t.Errorf("%s: %v %s, want %q", tt.line, is, got, tt.want)
		}
	}
}

func TestLogPatternsThatAreRefused(t *testing.T) {
	for pattern, why := range map[string]string{
		`^Failed password`:                              "write <HOST> there",
		`Failed from <HOST> port`:                       "begin it with ^ or end it with $",
		`^<HOST> and <ADDR>$`:                           "more than once",
		`^(?!x) <HOST>$`:                                "RE2",
		`^%(__prefix_line)s<HOST>`:                      "fail2ban alone",
		`^<F-USER>.*</F-USER> <HOST>$`:                  "fail2ban alone",
		`^Failed .*<HOST>$`:                             "between them",
		`^(<HOST>$`:                                     "RE2",
		"^<HOST> " + strings.Repeat("x", maxLogPattern): "longer",
	} {
		f := &LogFilter{Files: []string{"/var/log/auth.log"}, Fail: []string{pattern}}
		if err := f.compile(); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "failregex") {
			t.Errorf("%s: %v, want %q", pattern, err, why)
		}
	}
	for _, file := range []string{"auth.log", "/var/log/*.log", "/var/log/../x"} {
		f := &LogFilter{Files: []string{file}, Fail: []string{"^<HOST>"}}
		if err := f.compile(); err == nil || !strings.Contains(err.Error(), "whole path") {
			t.Errorf("%s: %v", file, err)
		}
	}
	if err := (&LogFilter{Files: []string{"/var/log/x"}, Fail: []string{"^<HOST>(?P<NAME>x)"}, Ignore: []string{"<HOST> is me"}}).compile(); err != nil {
		t.Errorf("a group of one's own: %v", err)
	}
}

// What a line of a million others costs: nothing of theirs matches.
func BenchmarkLogLine(b *testing.B) {
	if err := sshd.compile(); err != nil {
		b.Fatal(err)
	}
	for name, line := range map[string]string{
		"offence":     "Nov 29 04:00:01 gate sshd[4711]: Failed password for root from 198.51.100.9 port 50022 ssh2",
		"other":       "Nov 29 04:00:01 gate systemd[1]: Started session-4711.scope - Session 4711 of User ada.",
		"8 KiB of it": "Nov 29 04:00:01 gate sshd[4711]: Failed password for " + strings.Repeat("from 198.51.100.9 port 1 ", maxLogLine/25),
	} {
		b.Run(name, func(b *testing.B) {
			text := []byte(line)
			for b.Loop() {
				sshd.offender(text)
			}
		})
	}
}
