package testenv

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// goVersion is what the go command says of a binary, which is not ours: settings, and "path version hash" of each linked module.
func goVersion(t testing.TB, bin string) (settings map[string]string, modules []string) {
	t.Helper()
	out, err := exec.Command("go", "version", "-m", bin).Output()
	if err != nil {
		t.Fatal(err)
	}
	settings = map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		f := strings.Split(strings.TrimSpace(line), "\t")
		switch {
		case f[0] == "build" && len(f) > 1:
			name, value, _ := strings.Cut(f[1], "=")
			settings[name] = value
		case f[0] == "dep" && len(f) == 4:
			modules = append(modules, strings.Join(f[1:], " "))
		case f[0] == "dep", f[0] == "=>":
			t.Fatalf("a module that is replaced: teach the story of it: %q", line)
		case strings.HasPrefix(line, bin+": go"):
			settings["go"] = strings.TrimPrefix(line, bin+": ")
		}
	}
	return settings, modules
}

// TestBillOfMaterials (NAT-23): the CycloneDX bill that the binary prints has what the go command finds in it: every module, its
// version and its checksum, and nothing else; and what the format requires.
func TestBillOfMaterials(t *testing.T) {
	t.Parallel()
	bin := gatehouseBin(t)
	out, err := exec.Command(bin, "sbom").Output()
	if err != nil {
		t.Fatal(err)
	}
	type part struct {
		Type, Name, Version, Purl string
		Ref                       string `json:"bom-ref"`
		Hashes                    []struct{ Alg, Content string }
		Properties                []struct{ Name, Value string }
	}
	var bill struct {
		Format     string `json:"bomFormat"`
		Spec       string `json:"specVersion"`
		Serial     string `json:"serialNumber"`
		Version    int
		Metadata   struct{ Component part }
		Components []part
	}
	if err := json.Unmarshal(out, &bill); err != nil {
		t.Fatal(err)
	}
	// What the schema (bom-1.6.schema.json) requires, and the patterns of what it does not.
	if bill.Format != "CycloneDX" || bill.Spec != "1.6" || bill.Version < 1 {
		t.Errorf("format %q, spec %q, version %d", bill.Format, bill.Spec, bill.Version)
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`).MatchString(bill.Serial) {
		t.Errorf("serial number %q", bill.Serial)
	}
	refs := map[string]bool{}
	for _, p := range append(slices.Clone(bill.Components), bill.Metadata.Component) {
		if !slices.Contains([]string{"application", "library"}, p.Type) || p.Name == "" || refs[p.Ref] || !strings.HasPrefix(p.Purl, "pkg:golang/") {
			t.Errorf("a component without type, name, purl or a reference of its own: %+v", p)
		}
		refs[p.Ref] = true
		for _, h := range p.Hashes {
			if h.Alg != "SHA-256" || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(h.Content) {
				t.Errorf("%s: hash %+v", p.Name, h)
			}
		}
	}
	settings, want := goVersion(t, bin)
	var got []string
	for _, p := range bill.Components {
		if p.Name == "std" {
			if "go"+p.Version != settings["go"] {
				t.Errorf("standard library %s, built by %s", p.Version, settings["go"])
			}
			continue
		}
		raw, err := hex.DecodeString(p.Hashes[0].Content)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %s h1:%s", p.Name, p.Version, base64.StdEncoding.EncodeToString(raw)))
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 50 || !slices.Equal(got, want) {
		t.Errorf("the bill and the go command differ (%d and %d modules):\n%s\n\n%s", len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if again, err := exec.Command(bin, "sbom").Output(); err != nil || string(again) != string(out) {
		t.Errorf("the second bill is another: %v", err)
	}
}

// TestVersion (NAT-23, CER-12): the binary says of what it was made, and so do the running gateway, its evidence, and the record of its start.
// Controls: BRF-17, CAL-15.
func TestVersion(t *testing.T) {
	t.Parallel()
	g := startGateway(t, config{Backend: startBackend(t).Listen, House: "revision {file.{$STATE}/commit}\n\t\t" + defaultHouse})
	settings, modules := goVersion(t, g.bin)
	var said struct{ Version, Commit, Go, Caddy, Coraza, CRS string }
	if err := json.Unmarshal([]byte(g.cliOut(t, "version", "--json")), &said); err != nil {
		t.Fatal(err)
	}
	if said.Go != settings["go"] || said.Commit != settings["vcs.revision"] || said.Version == "" || said.Version == said.Caddy {
		t.Errorf("version says %+v, the go command %v", said, settings)
	}
	for path, version := range map[string]string{"github.com/caddyserver/caddy/v2": said.Caddy, "github.com/corazawaf/coraza/v3": said.Coraza, "github.com/corazawaf/coraza-coreruleset/v4": said.CRS} {
		if !slices.ContainsFunc(modules, func(m string) bool { return strings.HasPrefix(m, path+" "+version+" ") }) {
			t.Errorf("version says %s %s, and the go command does not", path, version)
		}
	}
	if out := g.cliOut(t, "version"); !strings.HasPrefix(out, said.Version+" (commit ") || strings.Count(out, "\n") != 1 {
		t.Errorf("version: %s", out)
	}
	admin := "unix/" + g.env["ADMIN"]
	var status struct{ Version, Commit, Go, Config string }
	if err := json.Unmarshal([]byte(g.cliOut(t, "status", "--json", "--address", admin)), &status); err != nil {
		t.Fatal(err)
	}
	if status.Version != said.Version || status.Commit != said.Commit || status.Go != said.Go || status.Config == "" {
		t.Errorf("status says %+v, the binary %+v", status, said)
	}
	if stdout, _, _, err := g.command("evidence", "--address", admin, "--ca", g.env["CA"], "--format", "json", "--http-port", "1"); err != nil || !strings.Contains(stdout, `"version": "`+said.Version+`"`) {
		t.Errorf("the evidence does not say version %s: %v", said.Version, err)
	}

	// A reload is on record with who asked for it, what was sent, and what the configuration says of itself.
	if err := os.WriteFile(filepath.Join(g.env["STATE"], "commit"), []byte("5ac1d0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.reload(); err != nil {
		t.Fatal(err)
	}
	record := g.cliOut(t, "audit", "show", g.auditDir())
	commit := said.Commit
	if commit == "" {
		commit = "unknown"
	}
	build := `version="` + regexp.QuoteMeta(said.Version) + `" commit="` + commit + `" go="` + said.Go + `"`
	for _, want := range []string{
		`house.started ` + build + ` config="` + status.Config + `" operator="process of [^"]+"`,
		`house.started ` + build + ` config="[0-9a-f]{12}" revision="5ac1d0" request="admin-[0-9a-f]+" operator="[^"]+" peer="[^"]+" sha256="[0-9a-f]{64}"`,
	} {
		if !regexp.MustCompile(want).MatchString(record) {
			t.Errorf("the record does not say %s:\n%s", want, record)
		}
	}
}

// TestUnit (NAT-17): systemd itself rates the unit's exposure 2.0 of 10 at the most.
func TestUnit(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is missing: run testenv/install.sh")
	}
	unit := filepath.Join(root, "cmd", "gatehouse", "gatehouse.service")
	rate := func(unit string) (string, error) {
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit).CombinedOutput()
		return string(out), err
	}
	out, err := rate(unit)
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	if level := regexp.MustCompile(`Overall exposure level .*: ([0-9.]+)`).FindStringSubmatch(out); level == nil {
		t.Errorf("systemd rates nothing:\n%s", out)
	} else {
		t.Logf("exposure %s", level[1])
	}
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NoNewPrivileges=yes", "ProtectSystem=strict", "RestrictSUIDSGID=yes", "MemoryDenyWriteExecute=yes", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n", "StateDirectory=gatehouse"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the unit does not say %s", strings.TrimSpace(want))
		}
	}
	// A unit that is open is told of: the rating can fail.
	open := filepath.Join(t.TempDir(), "open.service")
	if err := os.WriteFile(open, []byte("[Service]\nExecStart=/bin/true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := rate(open); err == nil {
		t.Errorf("a unit without any protection passes:\n%s", out)
	}
}

// TestImage: the image is made from nothing, has one file in it, and runs it as nobody; what changes is in a volume.
func TestImage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "cmd", "gatehouse", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	said := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if word, rest, ok := strings.Cut(line, " "); ok && !strings.HasPrefix(word, "#") {
			steps = append(steps, word)
			said[word] = rest
		}
	}
	if want := []string{"FROM", "COPY", "ENV", "USER", "VOLUME", "ENTRYPOINT", "CMD"}; !slices.Equal(steps, want) {
		t.Errorf("the image is made in the steps %v, want %v", steps, want)
	}
	for word, want := range map[string]string{
		"FROM": `^scratch$`, "COPY": `^bin/gatehouse /gatehouse$`, "USER": `^[1-9]\d{3,}:[1-9]\d{3,}$`, "VOLUME": `^/data$`,
		"ENV": `XDG_DATA_HOME=/data`, "ENTRYPOINT": `^\["/gatehouse"\]$`, "CMD": `^\["run", "--config", "/Caddyfile"\]$`,
	} {
		if !regexp.MustCompile(want).MatchString(said[word]) {
			t.Errorf("%s %s, want %s", word, said[word], want)
		}
	}
	// What is copied has no libraries beside it.
	make, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil || !regexp.MustCompile(`(?m)^BUILD +=.*CGO_ENABLED=0 .*-trimpath`).Match(make) {
		t.Errorf("make build does not make a static binary: %v", err)
	}
}
