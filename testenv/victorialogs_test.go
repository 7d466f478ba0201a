package testenv

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestVictoriaLogs is the story of the four protocols over HTTP with a receiver that somebody else wrote, over TLS 1.3: OpenTelemetry,
// Splunk's event collector, Elasticsearch's _bulk and Loki's push. It is killed in the middle; afterwards it has every request once,
// by the event's id, and answers a search for it. `make siem`, which builds VictoriaLogs.
func TestVictoriaLogs(t *testing.T) {
	bin := os.Getenv("GATEHOUSE_VICTORIALOGS")
	if bin == "" {
		t.Skip("needs VictoriaLogs: make siem")
	}
	dir := t.TempDir()
	if err := ca().write(dir, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf("https://127.0.0.1:%d", port)
	var vl *process
	start := func() {
		t.Helper()
		vl, err = startProcess(bin, []string{
			"-httpListenAddr", fmt.Sprint("127.0.0.1:", port), "-storageDataPath", filepath.Join(dir, "logs"), "-retentionPeriod", "1w",
			"-tls", "-tlsCertFile", filepath.Join(dir, "cert.pem"), "-tlsKeyFile", filepath.Join(dir, "key.pem"), "-tlsMinVersion", "TLS13", "-inmemoryDataFlushInterval", "1s",
		}, os.Environ(), dir, filepath.Join(dir, "stdout"), filepath.Join(dir, "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, readyIn, "VictoriaLogs listens", func() bool { return listens("tcp", fmt.Sprint("127.0.0.1:", port)) || vl.ended() })
		if vl.ended() {
			t.Fatalf("VictoriaLogs ended:\n%s", tail(filepath.Join(dir, "stderr"), 20))
		}
	}
	start()
	t.Cleanup(func() { _ = vl.stop(syscall.SIGKILL, stopsIn) })

	be := startBackend(t)
	sink := func(kind, path, words string) string {
		return fmt.Sprintf("\t\t\tsend %s %s%s {\n\t\t\t\tca {$CA}\n\t\t\t\ttoken {env.SIEM_TOKEN}\n%s\t\t\t}\n", kind, base, path, words)
	}
	g := startGateway(t, config{Backend: be.Listen, Env: []string{"SIEM_TOKEN=a-token-nobody-asks-for"}, House: defaultHouse + "\n\t\tsiem {\n" +
		sink("otlp", "/insert/opentelemetry/v1/logs", "") + sink("splunk", "/insert/splunk/services/collector/event", "") +
		sink("elasticsearch", "/insert/elasticsearch/_bulk", "") + sink("loki", "/insert/loki/api/v1/push", "") + "\t\t}"})
	user := g.newUser(t, "alice", alicesPassword)
	asked := 0
	ask := func(n int) {
		for range n {
			user.get(t, "/assets/number-"+word(asked))
			asked++
		}
	}
	search := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca().pool}}, Timeout: answersIn}
	number := regexp.MustCompile(`/assets/number-([a-z]+)`)
	// found are the requests that a search finds, by the protocol that brought them.
	found := func() map[string][]string {
		resp, err := search.PostForm(base+"/select/logsql/query", url.Values{"query": {"*"}, "limit": {"20000"}})
		if err != nil {
			return nil // it was killed a moment ago
		}
		defer resp.Body.Close()
		all := map[string][]string{}
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			var row map[string]string
			if json.Unmarshal(lines.Bytes(), &row) != nil {
				continue
			}
			by := "elasticsearch"
			switch {
			case row["gatehouse.stream"] != "":
				by = "otlp"
			case row["job"] == "gatehouse":
				by = "loki"
			case row["sourcetype"] != "":
				by = "splunk"
			}
			if m := number.FindSubmatch(lines.Bytes()); m != nil && !slices.Contains(all[by], string(m[1])) {
				all[by] = append(all[by], string(m[1]))
			}
		}
		return all
	}
	complete := func() bool {
		all := found()
		for _, by := range []string{"otlp", "splunk", "elasticsearch", "loki"} {
			if len(all[by]) != asked {
				return false
			}
		}
		return true
	}
	ask(20)
	if err := until(logSoonIn, "VictoriaLogs has them", complete); err != nil {
		t.Fatalf("%v: %v\n%s", err, found(), tail(filepath.Join(dir, "stderr"), 10))
	}
	time.Sleep(2 * time.Second) // what it was given a moment ago it has in memory alone, by -inmemoryDataFlushInterval
	if err := vl.stop(syscall.SIGKILL, stopsIn); err != nil {
		t.Fatal(err)
	}
	ask(30)
	start()
	ask(5)
	if err := until(2*time.Minute, "VictoriaLogs has everything", complete); err != nil {
		t.Fatalf("%v: %v\n%s", err, found(), tail(filepath.Join(dir, "stderr"), 10))
	}
}
