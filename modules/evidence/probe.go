package evidence

import (
	"context"
	"crypto/x509"
	"encoding/base32"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Status is what became of a probe, or of a control.
type Status string

// The statuses, worst first. Declared is what the configuration says and nobody can see from outside: it is never Pass. Absent is
// what a configuration does not promise; of a control it is Fail when its statement is claimed, and NotApplicable otherwise.
const (
	Fail          Status = "fail"
	Absent        Status = "absent"
	Declared      Status = "declared"
	NotApplicable Status = "not applicable"
	Pass          Status = "pass"
)

// Result is what a probe saw.
type Result struct {
	Status Status        `json:"status"`
	Saw    string        `json:"saw"`
	Fix    string        `json:"fix,omitempty"` // of a failure
	Took   time.Duration `json:"took"`          // in nanoseconds
}

func passed(format string, args ...any) Result {
	return Result{Status: Pass, Saw: fmt.Sprintf(format, args...)}
}
func declared(format string, args ...any) Result {
	return Result{Status: Declared, Saw: fmt.Sprintf(format, args...)}
}
func notApplicable(format string, args ...any) Result {
	return Result{Status: NotApplicable, Saw: fmt.Sprintf(format, args...)}
}
func failed(fix, format string, args ...any) Result {
	return Result{Status: Fail, Saw: fmt.Sprintf(format, args...), Fix: fix}
}
func absent(fix, format string, args ...any) Result {
	return Result{Status: Absent, Saw: fmt.Sprintf(format, args...), Fix: fix}
}

// unreachable is the result of a probe that could not ask. It is a failure: what does not answer shows nothing.
func unreachable(err error) Result {
	return failed("is the gateway running, and is --connect its address?", "no answer: %v", err)
}

// probe tries one thing, of each site or of the house.
type probe struct {
	about string // what it does
	site  func(context.Context, *Run, *Site) Result
	house func(context.Context, *Run) Result
}

// probes are those that controls.yaml names.
var probes = map[string]probe{
	"tls_13":            {about: "offers TLS 1.3 and everything older, one by one", site: probeTLS13},
	"tls_12":            {about: "offers TLS 1.1, TLS 1.0 and SSL 3.0", site: probeTLS12},
	"tls_named_suites":  {about: "offers sixty suites of TLS 1.2 and older, one by one", site: probeNamedSuites},
	"tls_modern_suites": {about: "offers suites without forward secrecy or authenticated encryption", site: probeModernSuites},
	"tls_grade":         {about: "grades the listener", site: probeGrade},
	"certificate":       {about: "reads the chain of certificates: keys, hashes, dates, trust", site: probeCertificate},
	"plain_http":        {about: "speaks HTTP without TLS to the TLS port, and to the port of HTTP", site: probePlainHTTP},
	"server_name":       {about: "asks for another host than TLS was told", site: probeServerName},
	"hsts":              {about: "reads Strict-Transport-Security on answers of every class", site: probeHSTS},
	"waf":               {about: "sends harmless copies of five attacks, and the same requests without them", site: probeWAF},
	"header_spoof":      {about: "claims to be somebody by headers, and asks the application which arrived", site: probeSpoof},
	"unauthenticated":   {about: "asks for a protected page as a stranger", site: probeStranger},
	"page_headers":      {about: "reads the headers of the gateway's pages, and tries to be led elsewhere", site: probePageHeaders},
	"cookies":           {about: "reads the flags of the gateway's cookies", site: probeCookies},
	"rate_limit":        {about: "reads which limit the login says it has", site: probeRateLimit},
	"security_txt":      {about: "reads /.well-known/security.txt", site: probeSecurityTxt},

	"admin_socket":    {about: "looks at the administration socket's mode", house: probeAdminSocket},
	"listeners":       {about: "compares what the process listens on with what is configured", house: probeListeners},
	"state_files":     {about: "looks at the modes of the state's files", house: probeStateFiles},
	"confinement":     {about: "asks the kernel what the process may do", house: probeConfinement},
	"session_idle":    {about: "reads the limits in force, and which sessions ended by them", house: probeSessionIdle},
	"second_factor":   {about: "reads whether second factors were proven", house: probeSecondFactor},
	"audit_chain":     {about: "verifies the whole audit log", house: probeAuditChain},
	"audit_retention": {about: "looks how old the oldest record is", house: probeAuditRetention},
	"log_retention":   {about: "looks how old the oldest log file is", house: probeLogRetention},
	"backup":          {about: "reads the age of the last backup, and of the last that was restored", house: probeBackup},
	"hourly_backup":   {about: "reads whether a backup was made within the last hour", house: probeHourlyBackup},
	"egress":          {about: "asks the kernel which connections the process has made to public addresses", house: probeEgress},
	"no_secret_told":  {about: "looks for secrets in what the administration endpoint tells", house: probeNoSecretTold},
	"version":         {about: "reads which version runs, and of which commit", house: probeVersion},
	"healthy":         {about: "reads what the gateway says is wrong with it", house: probeHealthy},
	"clock":           {about: "looks for clocks that went back", house: probeClock},
}

// Facts are what the running gateway says of itself.
type Facts struct {
	Host     string   `json:"host"`
	Version  string   `json:"version"`
	Revision string   `json:"revision,omitempty"` // of the source; "": not known
	Modified bool     `json:"modified,omitempty"` // the source was not what the revision has
	PID      int      `json:"pid"`
	StateDir string   `json:"state_dir"`
	KeysFile string   `json:"keys_file"`
	Audit    string   `json:"audit"`  // its directory
	Origin   string   `json:"origin"` // of the audit log
	Key      string   `json:"key"`    // that reports are signed with
	Mode     string   `json:"mode"`   // in force
	Denied   uint64   `json:"denied"` // what the mode did not allow, since the process began
	Problems []string `json:"problems,omitempty"`
}

// Backup is what the gateway says of the backups of its state, at its own endpoint.
type Backup struct {
	Every    string                    `json:"every"`
	Made     *struct{ Time time.Time } `json:"made"`     // the last
	Verified *struct{ Time time.Time } `json:"verified"` // the last that was restored for trial
	Failed   string                    `json:"failed"`   // why the last could not be made
	// Carry is the program that takes them elsewhere; "": none. Then Last is the last that is there, and Uncarried why the newest is not.
	Carry     string                    `json:"carry"`
	Last      *struct{ Time time.Time } `json:"last_carried"`
	Uncarried string                    `json:"uncarried"`
	Trouble   string                    `json:"trouble"` // why they cannot be read
}

// LogFile is a log file that the gateway removes in time.
type LogFile struct {
	File   string        `json:"file"`
	Keep   time.Duration `json:"keep"`
	Oldest time.Time     `json:"oldest,omitzero"`
	Swept  time.Time     `json:"swept,omitzero"`
	Error  string        `json:"error,omitempty"`
}

// Run is what probes are made of. It is used by one goroutine.
type Run struct {
	Config *Config
	// Told is the configuration as the administration endpoint tells it.
	Told  []byte
	Facts Facts
	Logs  []LogFile
	// Backup is what is said of backups; nil: there are none.
	Backup *Backup
	// Connect is the address of the listener; "": as the configuration has it, on this machine.
	Connect string
	// HTTPPort is where plain HTTP would be answered. Default: 80.
	HTTPPort string
	Roots    *x509.CertPool
	// Echo is a public path at which the application tells the headers it got; "": there is none.
	Echo string
	// Claimed are the statements that must hold whole.
	Claimed []string

	proc   string // "": /proc
	scans  map[string]scanned
	record *record
}

type scanned struct {
	*Scan
	err error
}

// address is where the site is found, and the host as a URL has it.
func (r *Run) address(s *Site) (dial, host string) {
	dial = r.Connect
	for _, l := range s.Listens {
		if dial == "" {
			dial = dialAddress(l)
		}
	}
	host = s.Host()
	if _, port, err := net.SplitHostPort(dial); err == nil && port != "443" {
		host = net.JoinHostPort(host, port)
	}
	return dial, host
}

func (r *Run) target(s *Site) Target {
	dial, _ := r.address(s)
	return Target{Address: dial, Name: s.Host(), Roots: r.Roots}
}

// scan looks at the site's listener, once.
func (r *Run) scan(ctx context.Context, s *Site) (*Scan, error) {
	if r.scans == nil {
		r.scans = map[string]scanned{}
	}
	t := r.target(s)
	key := t.Address + " " + t.Name
	if _, ok := r.scans[key]; !ok {
		found, err := scan(ctx, t)
		r.scans[key] = scanned{found, err}
	}
	return r.scans[key].Scan, r.scans[key].err
}

// nonce is a word that no other request has.
func nonce() string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random(10)))
}

func headerOf(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}
