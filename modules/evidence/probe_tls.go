package evidence

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"
	"time"
)

func probeTLS13(ctx context.Context, r *Run, s *Site) Result {
	found, err := r.scan(ctx, s)
	if err != nil {
		return unreachable(err)
	}
	if old := found.below(tls.VersionTLS13); len(old) > 0 {
		return failed("take `protocols` and a lower tls_profile out of the configuration", "%s accepted", strings.Join(old, ", "))
	}
	return passed("%s accepted; TLS 1.2, 1.1, 1.0 and SSL 3.0 refused", found.versionList())
}

func probeTLS12(ctx context.Context, r *Run, s *Site) Result {
	found, err := r.scan(ctx, s)
	if err != nil {
		return unreachable(err)
	}
	if old := found.below(tls.VersionTLS12); len(old) > 0 {
		return failed("take `protocols` out of the sites' tls directives", "%s accepted", strings.Join(old, ", "))
	}
	return passed("%s accepted; TLS 1.1, 1.0 and SSL 3.0 refused", found.versionList())
}

// namedSuites are those of TLS 1.2 that BRF-01 names. A listener may have fewer.
var namedSuites = []string{
	"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
}

func probeNamedSuites(ctx context.Context, r *Run, s *Site) Result {
	found, err := r.scan(ctx, s)
	if err != nil {
		return unreachable(err)
	}
	const fix = "`tls_profile brainframe`, or no tls_profile at all"
	if old := found.below(tls.VersionTLS12); len(old) > 0 {
		return failed(fix, "%s accepted", strings.Join(old, ", "))
	}
	if others := without(found.old(), func(name string) bool { return slices.Contains(namedSuites, name) }); len(others) > 0 {
		return failed(fix, "accepted besides the named suites: %s", strings.Join(others, ", "))
	}
	all := slices.Concat(found.Suites[tls.VersionTLS13], found.old())
	return passed("accepted: %s; %d others refused", strings.Join(all, ", "), len(oldSuites)+len(newSuites)-len(all))
}

func probeModernSuites(ctx context.Context, r *Run, s *Site) Result {
	found, err := r.scan(ctx, s)
	if err != nil {
		return unreachable(err)
	}
	if weak := without(found.old(), modern); len(weak) > 0 {
		return failed("take `ciphers` out of the sites' tls directives", "accepted: %s", strings.Join(weak, ", "))
	}
	return passed("every suite accepted has forward secrecy and authenticated encryption")
}

func probeCertificate(ctx context.Context, r *Run, s *Site) Result {
	found, err := r.scan(ctx, s)
	if err != nil {
		return unreachable(err)
	}
	now := time.Now()
	if bad := weaknesses(found.Chain, now); len(bad) > 0 {
		return failed("supply a chain with keys of RSA 2048 or a curve of 256 bits and SHA-2, in date", "%s", strings.Join(bad, "; "))
	}
	if found.Untrusted != nil {
		return failed("supply a certificate of an authority that clients trust for this name, or say --ca", "not trusted: %v", found.Untrusted)
	}
	return passed("%s", chainInWords(found.Chain, now))
}

func probeGrade(ctx context.Context, r *Run, s *Site) Result {
	found, err := r.scan(ctx, s)
	if err != nil {
		return unreachable(err)
	}
	found.HSTS = r.hsts(ctx, s)
	g := grade(found, time.Now())
	if !g.Good() {
		return failed("gatehouse tls check says what costs the grade", "%s: %s", g.Grade, strings.Join(g.Because, "; "))
	}
	return passed("%s", strings.Join(append([]string{g.Grade}, g.Because...), ": "))
}
