// Package roots reads the certificate authorities that an operator names, and says how others are spoken to over TLS.
package roots

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Read returns the authorities in the PEM file; nil, for no file, means those of the system. A file that cannot be read, or
// holds none, is an error that names it.
func Read(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}

// Client returns how a server is spoken to whose certificate comes from one of the authorities in the PEM file, "" for those of
// the system: with TLS 1.3, or with 1.2 as well where the operator allows it for an old receiver. The caller may change it.
func Client(caFile string, insecureTLS12 bool) (*tls.Config, error) {
	authorities, err := Read(caFile)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS13}
	if insecureTLS12 {
		config.MinVersion = tls.VersionTLS12
	}
	return config, nil
}
