package scope

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"gatehouse.internal/modules/internal/reqpath"
)

// variable stands for the workspace in a host or path of a [Naming].
const variable = "{workspace}"

// maxWorkspace bounds a workspace's name in bytes.
const maxWorkspace = 255

// Naming is one place in which requests name their workspace. Exactly one field is set.
type Naming struct {
	// A host name with {workspace} as its first label: {workspace}.example.com.
	Host string `json:"host,omitempty"`
	// A path with {workspace} as one segment: /ws/{workspace}/*. A /* at the end holds what is below.
	Path string `json:"path,omitempty"`
	// A header's name.
	Header string `json:"header,omitempty"`
}

// Validate reports what is wrong with the naming.
func (n Naming) Validate() error {
	set := 0
	for _, field := range []string{n.Host, n.Path, n.Header} {
		if field != "" {
			set++
		}
	}
	switch {
	case set != 1:
		return errors.New("a workspace is named by a host, a path or a header")
	case n.Host != "":
		rest, ok := strings.CutPrefix(n.Host, variable+".")
		if !ok || rest == "" || strings.Contains(rest, variable) || n.Host != strings.ToLower(n.Host) {
			return fmt.Errorf("host %q: write one like %s.example.com", n.Host, variable)
		}
	case n.Path != "":
		literal := strings.Replace(n.Path, "/"+variable, "/w", 1)
		if literal == n.Path || strings.Contains(literal, variable) {
			return fmt.Errorf("path %q: write one like /ws/%s/*", n.Path, variable)
		}
		if _, err := reqpath.ParsePattern(literal); err != nil {
			return err
		}
	case http.CanonicalHeaderKey(n.Header) != n.Header || strings.ContainsAny(n.Header, "_. "):
		return fmt.Errorf("header %q: write its name like X-Workspace", n.Header)
	}
	return nil
}

// The ways in which a request can fail to name one workspace.
var (
	ErrNoWorkspace = errors.New("the request names no workspace")
	ErrWorkspaces  = errors.New("host, path and headers name different workspaces, or one of them in several readings")
)

// Workspace returns the workspace that the request names by all of these, as far as it uses them. host may have a port.
func Workspace(by []Naming, host string, path reqpath.Path, h http.Header) (string, error) {
	found := ""
	for _, n := range by {
		name, err := n.name(host, path, h)
		switch {
		case err != nil:
			return "", err
		case name == "":
		case found != "" && found != name:
			return "", ErrWorkspaces
		default:
			found = name
		}
	}
	if found == "" {
		return "", ErrNoWorkspace
	}
	return found, nil
}

// name returns the workspace that this one place names; "" for none.
func (n Naming) name(host string, path reqpath.Path, h http.Header) (string, error) {
	switch {
	case n.Host != "":
		name, rest, _ := strings.Cut(Hostname(host), ".")
		if rest != n.Host[len(variable)+1:] {
			return "", nil
		}
		return name, nil
	case n.Path != "":
		return n.segment(path)
	}
	values := h[n.Header]
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || values[0] == "" || len(values[0]) > maxWorkspace {
		return "", ErrWorkspaces
	}
	return values[0], nil
}

// segment returns the segment that stands for the workspace. A path that some server could take for one that names
// another is none that can be judged.
func (n Naming) segment(path reqpath.Path) (string, error) {
	exact, isExact := match(n.Path, path.Decoded, func(a, b string) bool { return a == b })
	folded, isFolded := match(n.Path, path.Folded, strings.EqualFold)
	switch {
	case !isExact && !isFolded:
		return "", nil
	case !isExact || !isFolded || exact == "" || len(exact) > maxWorkspace || strings.Contains(path.Escaped, "%2F") || !strings.EqualFold(exact, folded):
		return "", ErrWorkspaces
	}
	return exact, nil
}

// match reads path by the template, segment by segment.
func match(template, path string, same func(a, b string) bool) (name string, ok bool) {
	template, subtree := strings.CutSuffix(template, "/*")
	for template != "" {
		if path == "" {
			return "", false
		}
		var want, is string
		want, template = next(template)
		is, path = next(path)
		switch {
		case want == variable:
			name = is
		case !same(want, is):
			return "", false
		}
	}
	return name, path == "" || path == "/" || subtree
}

// next splits off the first segment of a path.
func next(path string) (segment, rest string) {
	path = strings.TrimPrefix(path, "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}
