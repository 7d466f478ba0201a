package build

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"
)

// bom is a bill of materials as CycloneDX 1.6 (ECMA-424) has it, in the parts that the linker knows. Licences are not among them, nor
// which module needs which.
type bom struct {
	Format   string      `json:"bomFormat"`
	Spec     string      `json:"specVersion"`
	Serial   string      `json:"serialNumber"`
	Version  int         `json:"version"`
	Metadata metadata    `json:"metadata"`
	Parts    []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	Scope      string     `json:"scope,omitempty"`
	Hashes     []digest   `json:"hashes,omitempty"`
	Purl       string     `json:"purl"`
	Properties []property `json:"properties,omitempty"`
}

type digest struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SBOM returns the bill of materials of the running program, as JSON. The same program has the same one.
func SBOM() ([]byte, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errors.New("the program does not know of what it was made: build it with the go command")
	}
	return sbom(info)
}

func sbom(info *debug.BuildInfo) ([]byte, error) {
	of := read(info)
	b := bom{Format: "CycloneDX", Spec: "1.6", Version: 1}
	b.Metadata.Component = component{
		Type: "application", Name: "gatehouse", Version: of.Version, Purl: purl(info.Main.Path, of.Version), Properties: []property{
			{"gatehouse:go", of.Go}, {"gatehouse:target", of.Target}, {"gatehouse:tags", strings.Join(of.Tags, ",")},
		},
	}
	if of.Commit != "" {
		b.Metadata.Component.Properties = append(b.Metadata.Component.Properties,
			property{"gatehouse:commit", of.Commit}, property{"gatehouse:changed", fmt.Sprint(of.Dirty)})
	}
	b.Metadata.Component.Ref = b.Metadata.Component.Purl
	std := strings.TrimPrefix(runtime.Version(), "go")
	b.Parts = append(b.Parts, component{Type: "library", Ref: purl("std", std), Name: "std", Version: std, Scope: "required", Purl: purl("std", std)})
	for _, d := range info.Deps {
		m := linked(d)
		c := component{Type: "library", Ref: purl(m.Path, m.Version), Name: m.Path, Version: m.Version, Scope: "required", Purl: purl(m.Path, m.Version)}
		if sum, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
			raw, err := base64.StdEncoding.DecodeString(sum)
			if err != nil || len(raw) != sha256.Size {
				return nil, fmt.Errorf("%s: the checksum is none: %q", m.Path, m.Sum)
			}
			// SHA-256 over names and hashes of the module's files, as go.sum has it: not that of an archive.
			c.Hashes = []digest{{"SHA-256", hex.EncodeToString(raw)}}
			c.Properties = []property{{"gatehouse:go.sum", m.Sum}}
		}
		if m != d {
			c.Properties = append(c.Properties, property{"gatehouse:replaces", d.Path + "@" + d.Version})
		}
		b.Parts = append(b.Parts, c)
	}
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	// A UUID of what it says (RFC 9562, version 8), so that nothing else has the same.
	id := sha256.Sum256(text)
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	b.Serial = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
	return json.MarshalIndent(b, "", "  ")
}

// purl is the module's package URL (ECMA-427, type golang).
func purl(path, version string) string {
	parts := strings.Split(strings.ToLower(path), "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	if version == "" {
		return "pkg:golang/" + strings.Join(parts, "/")
	}
	return "pkg:golang/" + strings.Join(parts, "/") + "@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B")
}
