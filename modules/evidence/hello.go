package evidence

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// What crypto/tls cannot offer, such as old suites one by one, is offered with a ClientHello of our own (RFC 5246 7.4.1.2, RFC 8446
// 4.1.2). The handshake goes no further than the server's answer.

// hello is what a ClientHello offers.
type hello struct {
	name        string // server name; "": none
	version     uint16 // the newest, up to TLS 1.3
	suites      []uint16
	compression bool // offers DEFLATE as well
}

// answered is a server's answer to a hello. The zero value: it was refused.
type answered struct {
	version       uint16
	suite         uint16
	compressed    bool
	renegotiation bool // the server does it securely (RFC 5746); of no matter in TLS 1.3, which has none
	alert         int  // with which it was refused; -1: none was sent
}

const (
	extServerName      = 0
	extGroups          = 10
	extPointFormats    = 11
	extSignatures      = 13
	extVersions        = 43
	extKeyShare        = 51
	extRenegotiation   = 0xff01
	recordHandshake    = 22
	recordAlert        = 21
	messageServerHello = 2
)

// builder writes TLS's vectors.
type builder struct{ b []byte }

func (w *builder) u8(v int)                { w.b = append(w.b, byte(v)) }
func (w *builder) u16(v uint16)            { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *builder) raw(b []byte)            { w.b = append(w.b, b...) }
func (w *builder) sized8(f func())         { w.sized(1, f) }
func (w *builder) sized16(f func())        { w.sized(2, f) }
func (w *builder) ext(id uint16, f func()) { w.u16(id); w.sized16(f) }

func (w *builder) sized(n int, f func()) {
	at := len(w.b)
	w.b = append(w.b, make([]byte, n)...)
	f()
	size := len(w.b) - at - n
	for i := n - 1; i >= 0; i-- {
		w.b[at+i] = byte(size)
		size >>= 8
	}
}

// bytes is the hello as a record.
func (h hello) bytes() []byte {
	var w builder
	legacy := min(h.version, tls.VersionTLS12)
	w.u8(recordHandshake)
	w.u16(min(legacy, tls.VersionTLS10)) // what every server takes
	w.sized16(func() {
		w.u8(1)
		w.sized(3, func() { h.body(&w, legacy) })
	})
	return w.b
}

func (h hello) body(w *builder, legacy uint16) {
	w.u16(legacy)
	w.raw(random(32))
	w.sized8(func() {
		if h.version == tls.VersionTLS13 {
			w.raw(random(32)) // as middleboxes want it
		}
	})
	w.sized16(func() {
		for _, s := range h.suites {
			w.u16(s)
		}
	})
	w.sized8(func() {
		if h.compression && h.version < tls.VersionTLS13 { // which forbids to offer any
			w.u8(1)
		}
		w.u8(0)
	})
	if h.version < tls.VersionTLS10 {
		return // SSL 3.0 has no extensions
	}
	w.sized16(func() { h.extensions(w) })
}

func (h hello) extensions(w *builder) {
	if h.name != "" {
		w.ext(extServerName, func() {
			w.sized16(func() { w.u8(0); w.sized16(func() { w.raw([]byte(h.name)) }) })
		})
	}
	w.ext(extGroups, func() {
		w.sized16(func() {
			for _, g := range []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521} {
				w.u16(uint16(g))
			}
		})
	})
	w.ext(extPointFormats, func() { w.sized8(func() { w.u8(0) }) })
	if h.version >= tls.VersionTLS12 {
		w.ext(extSignatures, func() {
			w.sized16(func() {
				for _, s := range []uint16{0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201} {
					w.u16(s)
				}
			})
		})
	}
	w.ext(extRenegotiation, func() { w.sized8(func() {}) })
	if h.version == tls.VersionTLS13 {
		w.ext(extVersions, func() { w.sized8(func() { w.u16(tls.VersionTLS13) }) })
		// No share of a key: the server asks for one with a HelloRetryRequest, which says what it has chosen.
		w.ext(extKeyShare, func() { w.sized16(func() {}) })
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return b
}

// ask sends the hello and returns what the server says. An error is one of the connection: a server that closes it, or sends an alert, has
// refused.
func (h hello) ask(dial func() (net.Conn, error), patience time.Duration) (answered, error) {
	refused := answered{alert: -1}
	c, err := dial()
	if err != nil {
		return refused, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return refused, err
	}
	if _, err := c.Write(h.bytes()); err != nil {
		return refused, nil // it was closed at once
	}
	var head [5]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return refused, fmt.Errorf("no answer to a ClientHello within %v", patience)
		}
		return refused, nil
	}
	size := int(binary.BigEndian.Uint16(head[3:]))
	if size == 0 || size > 1<<14+256 {
		return refused, errors.New("what answers speaks no TLS")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return refused, nil
	}
	switch head[0] {
	case recordAlert:
		if size >= 2 {
			refused.alert = int(body[1])
		}
		return refused, nil
	case recordHandshake:
		return parseServerHello(body)
	}
	return refused, errors.New("what answers speaks no TLS")
}

var errServerHello = errors.New("the server's answer is no ServerHello")

func parseServerHello(b []byte) (a answered, err error) {
	a.alert = -1
	take := func(n int) []byte {
		if n > len(b) {
			err = errServerHello
			return make([]byte, n)
		}
		got := b[:n]
		b = b[n:]
		return got
	}
	number := func(n int) (v int) {
		for _, c := range take(n) {
			v = v<<8 | int(c)
		}
		return v
	}
	if number(1) != messageServerHello {
		return a, errServerHello
	}
	number(3)
	a.version = uint16(number(2))
	take(32)
	take(number(1))
	a.suite = uint16(number(2))
	a.compressed = number(1) != 0
	if len(b) >= 2 && err == nil {
		number(2)
		for len(b) >= 4 && err == nil {
			id, value := number(2), take(number(2))
			switch {
			case id == extRenegotiation:
				a.renegotiation = true
			case id == extVersions && len(value) == 2:
				a.version = binary.BigEndian.Uint16(value)
			}
		}
	}
	return a, err
}

// oldSuites are those of TLS 1.2 and below that servers are known to have, by RFC's names.
var oldSuites = map[uint16]string{
	0x0001: "TLS_RSA_WITH_NULL_MD5", 0x0002: "TLS_RSA_WITH_NULL_SHA", 0x003b: "TLS_RSA_WITH_NULL_SHA256",
	0x0003: "TLS_RSA_EXPORT_WITH_RC4_40_MD5", 0x0006: "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5", 0x0008: "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA",
	0x0014: "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA", 0x0009: "TLS_RSA_WITH_DES_CBC_SHA", 0x0015: "TLS_DHE_RSA_WITH_DES_CBC_SHA",
	0x0004: "TLS_RSA_WITH_RC4_128_MD5", 0x0005: "TLS_RSA_WITH_RC4_128_SHA", 0xc007: "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
	0xc011: "TLS_ECDHE_RSA_WITH_RC4_128_SHA", 0x0007: "TLS_RSA_WITH_IDEA_CBC_SHA",
	0x000a: "TLS_RSA_WITH_3DES_EDE_CBC_SHA", 0x0016: "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", 0xc008: "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA",
	0xc012: "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
	0x0018: "TLS_DH_anon_WITH_RC4_128_MD5", 0x001b: "TLS_DH_anon_WITH_3DES_EDE_CBC_SHA", 0x0034: "TLS_DH_anon_WITH_AES_128_CBC_SHA",
	0x003a: "TLS_DH_anon_WITH_AES_256_CBC_SHA", 0x00a6: "TLS_DH_anon_WITH_AES_128_GCM_SHA256", 0x00a7: "TLS_DH_anon_WITH_AES_256_GCM_SHA384",
	0xc018: "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", 0xc019: "TLS_ECDH_anon_WITH_AES_256_CBC_SHA",
	0x002f: "TLS_RSA_WITH_AES_128_CBC_SHA", 0x0035: "TLS_RSA_WITH_AES_256_CBC_SHA", 0x003c: "TLS_RSA_WITH_AES_128_CBC_SHA256",
	0x003d: "TLS_RSA_WITH_AES_256_CBC_SHA256", 0x009c: "TLS_RSA_WITH_AES_128_GCM_SHA256", 0x009d: "TLS_RSA_WITH_AES_256_GCM_SHA384",
	0xc09c: "TLS_RSA_WITH_AES_128_CCM", 0xc09d: "TLS_RSA_WITH_AES_256_CCM", 0x0041: "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA",
	0x0084: "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA", 0x0096: "TLS_RSA_WITH_SEED_CBC_SHA",
	0x0033: "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", 0x0039: "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", 0x0067: "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
	0x006b: "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", 0x0045: "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA", 0x0088: "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA",
	0x009e: "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", 0x009f: "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", 0xccaa: "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	0xc009: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", 0xc00a: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", 0xc013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
	0xc014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", 0xc023: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", 0xc024: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
	0xc027: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", 0xc028: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
	0xc02b: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02c: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02f: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	0xc030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xcca8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
	0xc0ac: "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", 0xc0ad: "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", 0xc0ae: "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
	0xc0af: "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8",
}

// newSuites are those of TLS 1.3.
var newSuites = map[uint16]string{
	0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384", 0x1303: "TLS_CHACHA20_POLY1305_SHA256", 0x1304: "TLS_AES_128_CCM_SHA256",
	0x1305: "TLS_AES_128_CCM_8_SHA256",
}
