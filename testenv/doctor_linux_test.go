package testenv

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestDoctorNamesOpenApplications: an application that listens on all addresses answers without the gateway: the doctor says so, names
// it, and fails. One that is elsewhere is something to look at; one on the loopback address alone is nothing (CAL-02). TestAssertionRecipes
// has an application that believes nobody who comes past the gateway. In a network of its own, so that nothing is open to anybody.
func TestDoctorNamesOpenApplications(t *testing.T) {
	if !alone(t) {
		return
	}
	type advice struct {
		Wrong     bool
		What, Fix string
	}
	serve := func(address string) (port string) {
		t.Helper()
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.NotFoundHandler()}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
		return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	ofApplications := func(backend string) (about []advice, code int) {
		t.Helper()
		g := startGateway(t, config{Backend: backend})
		stdout, stderr, code, err := g.command("doctor", "--json", "--address", "unix/"+g.env["ADMIN"], "--ca", g.env["CA"])
		if err != nil {
			t.Fatal(err)
		}
		var all []advice
		if err := json.Unmarshal([]byte(stdout), &all); err != nil {
			t.Fatalf("%v: %s%s", err, stdout, stderr)
		}
		for _, a := range all {
			if strings.HasPrefix(a.What, "the application of") {
				about = append(about, a)
			}
		}
		return about, code
	}
	if found, _ := ofApplications("127.0.0.1:" + serve("127.0.0.1:0")); len(found) > 0 {
		t.Errorf("bound to the loopback address: %+v", found)
	}
	port := serve(":0")
	found, code := ofApplications("127.0.0.1:" + port)
	if len(found) != 1 || !found[0].Wrong || !strings.Contains(found[0].What, "port "+port+" goes past the gateway") || found[0].Fix != "bind it to 127.0.0.1" || code != 1 {
		t.Errorf("open to all: %+v, exit code %d", found, code)
	}
	if found, _ := ofApplications("192.0.2.7:80"); len(found) != 1 || found[0].Wrong || !strings.Contains(found[0].What, "app.test is at 192.0.2.7:80, which is not known to be private") {
		t.Errorf("elsewhere: %+v", found)
	}
}
