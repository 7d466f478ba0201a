// Package roots reads the certificate authorities that an operator names.
package roots

import (
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
