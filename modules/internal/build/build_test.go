package build

import (
	"encoding/json"
	"runtime/debug"
	"slices"
	"testing"
)

var made = &debug.BuildInfo{
	Main:     debug.Module{Path: "gatehouse.internal", Version: "(devel)"},
	Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}, {Key: "-tags", Value: "a,b"}},
	Deps: []*debug.Module{
		{Path: "github.com/caddyserver/caddy/v2", Version: "v2.11.0", Sum: "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
		{Path: "github.com/corazawaf/coraza/v3", Version: "v3.0.0", Replace: &debug.Module{Path: "example.com/Fork", Version: "v3.1.0+incompatible"}},
	},
}

func TestRead(t *testing.T) {
	i := read(made)
	if i.Version != "devel" || i.Commit != "abc" || !i.Dirty || !slices.Equal(i.Tags, []string{"a", "b"}) || i.Caddy != "v2.11.0" || i.Coraza != "v3.1.0+incompatible" {
		t.Errorf("%+v", i)
	}
	if i := read(nil); i.Version != "devel" || i.Go == "" {
		t.Errorf("of a program that knows nothing: %+v", i)
	}
}

// The whole bill is held against the binary's own list in testenv; here, what the binary at hand has no example of.
func TestSBOM(t *testing.T) {
	text, err := sbom(made)
	if err != nil {
		t.Fatal(err)
	}
	var b bom
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	fork := b.Parts[2]
	if fork.Purl != "pkg:golang/example.com/fork@v3.1.0%2Bincompatible" || fork.Properties[0].Value != "github.com/corazawaf/coraza/v3@v3.0.0" || fork.Hashes != nil {
		t.Errorf("a replaced module: %+v", fork)
	}
	again, err := sbom(made)
	if err != nil || string(again) != string(text) {
		t.Errorf("the second is another: %v", err)
	}
	bad := *made
	bad.Deps = []*debug.Module{{Path: "x", Version: "v1", Sum: "h1:AAAA"}}
	if _, err := sbom(&bad); err == nil {
		t.Error("a checksum that is none passes")
	}
}
