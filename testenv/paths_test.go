package testenv

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
)

// spellings are ways to write /admin/ that some application, framework or web server reads as /admin/.
var spellings = []string{
	// What a path is made of.
	"/admin", "/admin/", "/admin/x", "/admin?x", "/admin/?x=/healthz", "/admin#x", "/admin/#x", "/admin/?", "/admin?",
	// Slashes and dots.
	"//admin/", "///admin/", "/admin//", "/.//admin/", "/./admin/", "/admin/.", "/admin/./", "/admin/x/..", "/admin/x/../", "/x/../admin/",
	"/x/y/../../admin/", "/../admin/", "/../../admin/", "/x//../admin/", "/.../../admin/", "/x/./../admin/", "/admin/../admin/",
	// Percent-encoding.
	"/%61dmin/", "/%61%64%6d%69%6e/", "/%61%64%6D%69%6E", "/a%64min/", "/admi%6e", "/%2fadmin/", "/%2Fadmin/", "/admin%2f", "/admin%2Fx",
	"/x/%2e%2e/admin/", "/x/.%2e/admin/", "/x/%2e./admin/", "/x/%2E%2E/admin/", "/%2e/admin/", "/x%2f..%2fadmin/", "/x/..%2fadmin/", "/%2e%2e/admin/",
	"/admin%3fx", "/admin%23x", "/%2f%2fadmin/", "/.%2fadmin/",
	// Case.
	"/ADMIN/", "/Admin/", "/aDmIn/", "/%41dmin/", "/ADMIN", "/admIN/x", "/%41%44%4D%49%4E/",
	// Decoding twice.
	"/%2561dmin/", "/%25%36%31dmin/", "/x/%252e%252e/admin/", "/%252fadmin/", "/admin%252f", "/x/..%252fadmin/", "/x%252f..%252fadmin/", "/%25%32%66admin/",
	"/%252561dmin/",
	// NUL and other control characters.
	"/admin%00", "/admin%00/", "/admin/%00", "/admin%00.css", "/%00/admin/", "/admin/%00.css", "/x%00/../admin/", "/admin%09", "/admin/%09",
	"/admin%0a", "/admin%0d%0a", "/admin%0d", "/%0aadmin/", "/admin/%0a", "/admin%7f", "/admin%20", "/admin%20/", "/%20admin/", "/admin%a0/",
	// Path parameters.
	"/admin;", "/admin;/", "/admin;x/", "/admin;x=y/", "/admin/;", "/admin/;x", "/;/admin/", "/;x/admin/", "/x/..;/admin/", "/x/..;y/admin/",
	"/admin;.css", "/admin/;.css", "/admin;/../admin/", "/./;/admin/", "/admin%3b/", "/admin%3bx/", "/x/..%3b/admin/", "/x/%2e%2e;/admin/", "/;%2f..%2fadmin/",
	// Backslashes.
	"/\\admin/", "\\admin/", "/x\\..\\admin/", "/x/..\\admin/", "/%5cadmin/", "/%5Cadmin/", "/x/..%5cadmin/", "/admin%5c", "/admin\\", "/admin%5cx", "/x%5c..%5cadmin/", "/.%5cadmin/",
	// From a public place.
	"/assets/../admin/", "/assets/%2e%2e/admin/", "/assets/..%2fadmin/", "/assets/%2e%2e%2fadmin/", "/assets/..;/admin/", "/assets/..%5cadmin/",
	"/assets/..%252fadmin/", "/assets/%252e%252e/admin/", "/assets/x/../../admin/", "/assets;/../admin/", "/healthz/../admin/", "/healthz/..;/admin/",
	"/healthz;/../admin/", "/assets/..%00/admin/", "/assets//../admin/", "/assets/./../admin/", "/assets/..%c0%afadmin/", "/healthz%2f..%2fadmin/",
	"/healthz/%2e%2e/admin/", "/healthz%00/../admin/", "/healthz?/../admin/", "/assets/..%3b/admin/",
	// Overlong UTF-8, %u, full width.
	"/%c0%afadmin/", "/%e0%80%afadmin/", "/%c1%a1dmin/", "/%u0061dmin/", "/x/..%u002fadmin/", "/%ef%bc%8fadmin/", "/x/%c0%ae%c0%ae/admin/", "/%ef%bd%81dmin/", "/x/..%ef%bc%8fadmin/",
	// Windows.
	"/admin.", "/admin./", "/admin..", "/admin%2e/", "/admin%20./", "/admin::$DATA", "/admin%3a%3a$DATA", "/admin./x",
	// Broken escapes.
	"/%admin/", "/admin%", "/admin%2", "/admin%zz", "/%%61dmin/", "/%2%66admin/",
	// Other forms of the request target.
	"https://app.test/admin/", "http://app.test/admin/", "https://other.test/admin/", "https://user@app.test/admin/", "http:///admin/", "app.test/admin/", "admin/", "*/admin/",
	"/http://app.test/admin/", "//app.test/admin/", "//other.test/admin/",
}

// readers are how applications read a request target. The path of each is compared with /admin.
var readers = map[string]func(string) string{
	"plain":     func(p string) string { return decode(p) },
	"double":    func(p string) string { return decode(decode(decode(p))) },
	"nul":       func(p string) string { return cut(decode(p), "\x00") },
	"parameter": func(p string) string { return decode(withoutParameters(p)) },
	"late parameter": func(p string) string {
		return withoutParameters(decode(p))
	},
	"backslash": func(p string) string { return strings.ReplaceAll(decode(p), `\`, "/") },
	"case":      func(p string) string { return strings.ToLower(decode(p)) },
	"control": func(p string) string {
		return strings.Map(func(r rune) rune {
			if r <= ' ' || r == 0x7f || r == 0xa0 {
				return -1
			}
			return r
		}, decode(p))
	},
	"windows": func(p string) string {
		parts := strings.Split(strings.ToLower(strings.ReplaceAll(decode(p), `\`, "/")), "/")
		for i, part := range parts {
			part = cut(part, ":")
			if strings.Trim(part, ".") != "" {
				part = strings.TrimRight(part, ". ")
			}
			parts[i] = part
		}
		return strings.Join(parts, "/")
	},
	"overlong": func(p string) string {
		return strings.NewReplacer("\xc0\xaf", "/", "\xe0\x80\xaf", "/", "\xc1\xa1", "a", "\xc0\xae", ".", "%u0061", "a", "%u002f", "/",
			"\uff0f", "/", "\uff41", "a").Replace(decode(p))
	},
	"query in path": func(p string) string { return cut(cut(decode(p), "?"), "#") },
}

func cut(s, sep string) string {
	before, _, _ := strings.Cut(s, sep)
	return before
}

// decode undoes percent-encoding once and leaves what is no escape.
func decode(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] == '%' && i+2 < len(p) {
			if one, err := url.PathUnescape(p[i : i+3]); err == nil {
				b.WriteString(one)
				i += 2
				continue
			}
		}
		b.WriteByte(p[i])
	}
	return b.String()
}

func withoutParameters(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		parts[i] = cut(parts[i], ";")
	}
	return strings.Join(parts, "/")
}

// readAs names the readers that take a request target, as the application received it, for the admin page.
func readAs(uri string) []string {
	target := cut(cut(uri, "#"), "?")
	if i := strings.Index(target, "://"); i > 0 && i < 8 {
		_, rest, _ := strings.Cut(target[i+3:], "/")
		target = "/" + rest
	}
	var names []string
	for name, read := range readers {
		clean := path.Clean("/" + read(target))
		if clean == "/admin" || strings.HasPrefix(clean, "/admin/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestReaders keeps the readers honest: nearly every spelling must be the admin page for one of them.
func TestReaders(t *testing.T) {
	misread := 0
	for _, s := range spellings {
		if len(readAs(s)) == 0 {
			misread++
			t.Logf("no reader takes %q for /admin", s)
		}
	}
	if len(spellings) < 86 || misread > 15 {
		t.Errorf("%d spellings, %d of them read by nobody", len(spellings), misread)
	}
	for _, s := range []string{"/", "/administrator", "/search?q=/admin", "/x/admin", "/assets/admin", "/admin/../x"} {
		if as := readAs(s); len(as) > 0 {
			t.Errorf("%q is read as /admin by %q", s, as)
		}
	}
}

// bypasses sends every spelling and tells which reached an application that may read them as /admin.
func bypasses(t *testing.T, g *gateway, be *backend, cookie string) []string {
	t.Helper()
	var found []string
	lines := []string{"Connection: close"}
	if cookie != "" {
		lines = append(lines, "Cookie: "+cookie)
	}
	var fields [][2]string
	if cookie != "" {
		fields = append(fields, [2]string{"cookie", cookie})
	}
	for _, s := range spellings {
		for version, ask := range map[string]func() (*answer, error){
			"HTTP/1.1": func() (*answer, error) { return g.raw1(g.lines1("GET", s, lines...)) },
			"HTTP/2":   func() (*answer, error) { return g.raw2(request2{fields: g.fields2("GET", s, fields...)}) },
		} {
			be.mustForget(t)
			a, err := ask()
			for _, r := range be.mustSee(t).Requests {
				if as := readAs(r.URI); len(as) > 0 {
					found = append(found, fmt.Sprintf("%s %q reached the application as %q, which is the admin page for readers %q", version, s, r.URI, as))
				}
			}
			switch {
			case err != nil:
				continue // the connection was ended: refused
			case a.Status >= 500:
				t.Errorf("%s %q: status %d\n%s", version, s, a.Status, excerpt(a.Body, 300))
			case strings.Contains(string(a.Body), `id="administration"`):
				found = append(found, fmt.Sprintf("%s %q showed the admin page", version, s))
			}
		}
	}
	return found
}

// TestPathSpellings: whatever the spelling, who may not see /admin does not, and never because the gateway and the
// application read the same bytes differently.
func TestPathSpellings(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Roles: "staff"})
	staff := g.newUser(t, "alice", "two cranes over a tin roof")
	if a := staff.get(t, "/"); a.Status != http.StatusOK {
		t.Fatalf("staff does not get in: %d", a.Status)
	}
	for who, cookie := range map[string]string{"staff": staff.cookieHeader(), "a stranger": ""} {
		t.Run(who, func(t *testing.T) {
			for _, b := range bypasses(t, g, be, cookie) {
				t.Error(b)
			}
		})
	}
	t.Run("the plain spelling", func(t *testing.T) {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			be.mustForget(t)
			if a := staff.must(t, request{Method: method, Path: "/admin/"}); a.Status != http.StatusForbidden {
				t.Errorf("%s /admin/ as staff: status %d", method, a.Status)
			}
			if n := be.mustSee(t).Total; n != 0 {
				t.Errorf("%s /admin/ as staff reached the application", method)
			}
		}
	})
	t.Run("what is harmless passes", func(t *testing.T) {
		for _, p := range []string{
			"/", "/search?q=/admin", "/search?q=a%2fb", "/administrator", "/caf%C3%A9", "/a%20b", "/x/admin", "/x.y/z-_~!$&'()*+,=:@", "/x?y=%2e%2e",
			"/.well-known/x", "/a..b", "/a%2Bb", "/1%2C2",
		} {
			be.mustForget(t)
			staff.must(t, request{Path: p})
			seen := be.mustSee(t)
			if seen.Total != 1 || seen.Requests[0].URI != p {
				t.Errorf("%q did not reach the application as it is: %+v", p, seen.Requests)
			}
		}
	})
}

// TestEncodedSlashes: a site that needs encoded slashes gets them, and /admin is still /admin.
func TestEncodedSlashes(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Roles: "staff", Site: "encoded_slashes\n\t\t" + defaultSite})
	staff := g.newUser(t, "alice", "two cranes over a tin roof")
	for _, p := range []string{"/projects/a%2Fb", "/projects/a%2Fb/x"} {
		be.mustForget(t)
		staff.get(t, p)
		seen := be.mustSee(t)
		if seen.Total != 1 || seen.Requests[0].URI != p {
			t.Errorf("%q did not reach the application as it is: %+v", p, seen.Requests)
		}
	}
	for _, b := range bypasses(t, g, be, staff.cookieHeader()) {
		t.Error(b)
	}
}

// TestPathSpellingsPlain is the negative control: a path matcher in front of the same application.
func TestPathSpellingsPlain(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startPlain(t, config{Backend: be.Listen, Rest: "@admin path /admin /admin/*\n\trespond @admin 403\n\treverse_proxy {$BACKEND}"})
	found := bypasses(t, g, be, "")
	t.Logf("plain Caddy lets %d of %d spellings (over two versions) through", len(found), 2*len(spellings))
	if len(found) < 20 {
		t.Errorf("only %d: this test would not notice a gateway that does nothing", len(found))
	}
}
