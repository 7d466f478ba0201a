package reqpath

import (
	"strings"
)

// reader is one habit of a lenient server, applied to a whole path.
type reader struct {
	name string
	read func(string) string
}

// readers are deliberately naive: they are the model the package is held
// against, so they share no code with it.
var readers = []reader{
	{"decode", lenientDecode},
	{"strip params", func(s string) string {
		return perSegment(s, func(seg string) string { head, _, _ := strings.Cut(seg, ";"); return head })
	}},
	{"collapse slashes", func(s string) string {
		for strings.Contains(s, "//") {
			s = strings.ReplaceAll(s, "//", "/")
		}
		return s
	}},
	{"resolve dots", resolveDots},
	{"lower", strings.ToLower},
	{"upper and lower", func(s string) string { return strings.ToLower(strings.ToUpper(s)) }},
	{"trim dots and spaces", func(s string) string {
		return perSegment(s, func(seg string) string {
			if seg == "." || seg == ".." {
				return seg
			}
			return strings.TrimRight(seg, ". ")
		})
	}},
	{"trim spaces", func(s string) string { return perSegment(s, strings.TrimSpace) }},
	{"backslash", func(s string) string { return strings.ReplaceAll(s, `\`, "/") }},
	{"cut at NUL", cutAt("\x00")},
	{"cut at ?", cutAt("?")},
	{"cut at #", cutAt("#")},
	{"cut at whitespace", cutAt("\t")},
	{"drop trailing slash", func(s string) string {
		if len(s) > 1 {
			return strings.TrimSuffix(s, "/")
		}
		return s
	}},
	{"overlong", strings.NewReplacer("\xc0\xaf", "/", "\xc0\xae", ".", "\xc1\x9c", `\`, "\xe0\x80\xaf", "/", "\xe0\x80\xae", ".").Replace},
	{"best fit", strings.NewReplacer("\uff0f", "/", "\u2215", "/", "\u2044", "/", "\uff0e", ".", "\u2024", ".", "\uff3c", `\`, "\u2025", "..", "\uff05", "%", "\uff1b", ";").Replace},
	{"network path", func(s string) string { // reads //host/path as a URL reference
		if rest, ok := strings.CutPrefix(s, "//"); ok {
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				return rest[i:]
			}
			return "/"
		}
		return s
	}},
}

func cutAt(sep string) func(string) string {
	return func(s string) string { head, _, _ := strings.Cut(s, sep); return head }
}

func perSegment(s string, f func(string) string) string {
	segs := strings.Split(s, "/")
	for i := range segs {
		segs[i] = f(segs[i])
	}
	return strings.Join(segs, "/")
}

// lenientDecode decodes once and leaves invalid escapes alone; %u as IIS does.
func lenientDecode(s string) string {
	var b strings.Builder
	hex := func(s string) (n rune, ok bool) {
		for _, c := range strings.ToLower(s) {
			i := strings.IndexRune("0123456789abcdef", c)
			if i < 0 {
				return 0, false
			}
			n = n<<4 | rune(i)
		}
		return n, true
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+5 < len(s) && s[i+1] == 'u' {
			if n, ok := hex(s[i+2 : i+6]); ok {
				b.WriteRune(n)
				i += 5
				continue
			}
		}
		if s[i] == '%' && i+2 < len(s) {
			if n, ok := hex(s[i+1 : i+3]); ok {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func resolveDots(s string) string {
	var out []string
	segs := strings.Split(strings.TrimPrefix(s, "/"), "/")
	for i, seg := range segs {
		switch seg {
		case ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, seg)
			continue
		}
		if i == len(segs)-1 {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}

// readings returns every path that some chain of at most depth readers makes
// of raw, raw included.
func readings(raw string, depth int) []string {
	seen := map[string]bool{raw: true}
	all := []string{raw}
	for from := 0; depth > 0; depth-- {
		to := len(all)
		for _, s := range all[from:to] {
			for _, r := range readers {
				if t := r.read(s); !seen[t] {
					seen[t] = true
					all = append(all, t)
				}
			}
		}
		from = to
	}
	return all
}

// inside is the naive subtree test.
func inside(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}
