package gatehouse

import (
	"bufio"
	"bytes"
	"net/http"
	"time"
)

// A program that speaks plain HTTP to a port that speaks TLS is told so by net/http, which passes nothing on. But what it
// said was said in the clear: if it held a session's cookie, whoever listened has it, and the session must end.

const (
	recordHandshake = 22          // the first byte of a TLS connection (RFC 8446 5.1)
	maxClearHead    = 16 << 10    // bytes of a request head that are looked at
	clearHeadIn     = time.Second // how long its end is waited for
)

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.began && n > 0 {
		if c.began = true; p[0] != recordHandshake && c.leaked != nil {
			c.overhear(p[:n])
		}
	}
	return n, err
}

// overhear reads the rest of a request head that begins like this, and tells of it. Nothing else comes of the connection,
// so that what is read here is missed by nobody.
func (c *conn) overhear(begun []byte) {
	if first := begun[0]; first < 'A' || first > 'Z' { // no method
		return
	}
	head := append(make([]byte, 0, maxClearHead), begun...)
	_ = c.Conn.SetReadDeadline(time.Now().Add(clearHeadIn)) // if it fails, the server's own holds
	for !bytes.Contains(head, []byte("\r\n\r\n")) && len(head) < maxClearHead {
		n, err := c.Conn.Read(head[len(head):maxClearHead])
		if head = head[:len(head)+n]; err != nil {
			break
		}
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return // cut short, or no request
	}
	c.leaked(r)
}
