package build

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// version is stamped at build time: -ldflags '-X gatehouse.internal/modules/internal/build.version=v1'.
var version string

// Info is of what a program was made. Empty fields are not known.
type Info struct {
	Version string `json:"version"` // of the product; "devel" when nothing was stamped and no version control was there
	Commit  string `json:"commit,omitempty"`
	// Dirty says that the source was not what the commit has.
	Dirty  bool     `json:"dirty"`
	Go     string   `json:"go"`
	Target string   `json:"target"` // system/processor
	Tags   []string `json:"tags"`   // build tags
	Caddy  string   `json:"caddy,omitempty"`
	Coraza string   `json:"coraza,omitempty"`
	CRS    string   `json:"crs,omitempty"` // OWASP's core rule set
}

// Read tells of the running program.
func Read() Info {
	info, _ := debug.ReadBuildInfo() // nil: a program that was not made by the go command
	return read(info)
}

func read(b *debug.BuildInfo) Info {
	i := Info{Version: version, Go: runtime.Version(), Target: runtime.GOOS + "/" + runtime.GOARCH, Tags: []string{}}
	if b == nil {
		i.Version = cmp.Or(i.Version, "devel")
		return i
	}
	if i.Version == "" && b.Main.Version != "(devel)" {
		i.Version = b.Main.Version
	}
	i.Version = cmp.Or(i.Version, "devel")
	for _, s := range b.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Commit = s.Value
		case "vcs.modified":
			i.Dirty = s.Value == "true"
		case "-tags":
			i.Tags = slices.DeleteFunc(strings.Split(s.Value, ","), func(t string) bool { return t == "" })
		}
	}
	for _, d := range b.Deps {
		of := linked(d).Version
		switch d.Path {
		case "github.com/caddyserver/caddy/v2":
			i.Caddy = of
		case "github.com/corazawaf/coraza/v3":
			i.Coraza = of
		case "github.com/corazawaf/coraza-coreruleset/v4":
			i.CRS = of
		}
	}
	return i
}

// linked is the module that was linked for d: d, or what replaces it.
func linked(d *debug.Module) *debug.Module {
	if d.Replace != nil {
		return d.Replace
	}
	return d
}

// Print writes what Read tells: as JSON, or in words.
func Print(w io.Writer, asJSON bool) error {
	i := Read()
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(i)
	}
	commit := cmp.Or(i.Commit, "unknown")
	if i.Dirty {
		commit += ", changed"
	}
	_, err := fmt.Fprintf(w, "%s (commit %s, %s %s, Caddy %s, Coraza %s, CRS %s)\n", i.Version, commit, i.Go, i.Target, i.Caddy, i.Coraza, i.CRS)
	return err
}
