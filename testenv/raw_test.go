package testenv

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Clients that send what no well-behaved library sends.

const rawPatience = 10 * time.Second

// errNoAnswer is a connection that was ended instead of an answer: as good a refusal as any.
var errNoAnswer = errors.New("no answer")

func (g *gateway) dialTLS(sni string, protocols ...string) (*tls.Conn, error) {
	d := &net.Dialer{Timeout: rawPatience}
	c, err := tls.DialWithDialer(d, "tcp", g.addr(), &tls.Config{ServerName: sni, RootCAs: ca().pool, NextProtos: protocols})
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(rawPatience))
}

// raw1 sends bytes over a new HTTP/1.1 connection and reads the first final answer.
func (g *gateway) raw1(payload string) (*answer, error) {
	c, err := g.dialTLS(appHost, "http/1.1")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return exchange(c, payload)
}

// exchange sends bytes and reads the first final answer.
func exchange(c net.Conn, payload string) (*answer, error) {
	go func() {
		// A server that refuses early may stop reading; what it answers is what counts.
		_, _ = io.WriteString(c, payload)
	}()
	method, _, _ := strings.Cut(payload, " ")
	r := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return nil, fmt.Errorf("%w: %v", errNoAnswer, err)
		}
		if resp.StatusCode >= 100 && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		a := &answer{Status: resp.StatusCode, Proto: resp.Proto, Header: resp.Header, Close: resp.Close}
		if resp.StatusCode != http.StatusSwitchingProtocols {
			a.Body, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			a.Trailer = resp.Trailer
		}
		return a, err
	}
}

// lines1 is a GET with these header lines, exactly as given.
func (g *gateway) lines1(method, target string, lines ...string) string {
	host := appHost + ":" + strconv.Itoa(g.port)
	return method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(append(lines, "", ""), "\r\n")
}

// request2 is an HTTP/2 request, field by field, as it goes on the wire.
type request2 struct {
	fields   [][2]string // pseudo-header fields first
	body     []byte
	open     bool // the stream stays open after the header, as for a CONNECT
	trailers [][2]string
}

// fields2 is what every HTTP/2 request has, with more behind.
func (g *gateway) fields2(method, path string, more ...[2]string) [][2]string {
	return append([][2]string{
		{":method", method}, {":scheme", "https"}, {":authority", appHost + ":" + strconv.Itoa(g.port)}, {":path", path},
	}, more...)
}

// raw2 sends one HTTP/2 request on a new connection. A reset stream or a closed connection is errNoAnswer.
func (g *gateway) raw2(r request2) (*answer, error) {
	c, err := g.dialTLS(appHost, "h2")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if p := c.ConnectionState().NegotiatedProtocol; p != "h2" {
		return nil, fmt.Errorf("negotiated %q, not h2", p)
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return nil, err
	}
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.AllowIllegalWrites = true
	if err := f.WriteSettings(); err != nil {
		return nil, err
	}
	if err := send2(f, r); err != nil {
		return nil, fmt.Errorf("%w: %v", errNoAnswer, err)
	}
	return read2(f)
}

func send2(f *http2.Framer, r request2) error {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	encode := func(fields [][2]string) []byte {
		block.Reset()
		for _, kv := range fields {
			_ = enc.WriteField(hpack.HeaderField{Name: kv[0], Value: kv[1]}) // a buffer takes all
		}
		return block.Bytes()
	}
	last := len(r.body) == 0 && r.trailers == nil && !r.open
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(r.fields), EndHeaders: true, EndStream: last})
	if err == nil && len(r.body) > 0 {
		err = f.WriteData(1, r.trailers == nil && !r.open, r.body)
	}
	if err == nil && r.trailers != nil {
		err = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(r.trailers), EndHeaders: true, EndStream: true})
	}
	return err
}

func read2(f *http2.Framer) (*answer, error) {
	var a *answer
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return nil, fmt.Errorf("%w: %v", errNoAnswer, err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				if err := f.WriteSettingsAck(); err != nil {
					return nil, fmt.Errorf("%w: %v", errNoAnswer, err)
				}
			}
		case *http2.MetaHeadersFrame:
			if a != nil { // trailers
				return a, nil
			}
			status, err := strconv.Atoi(frame.PseudoValue("status"))
			if err != nil {
				return nil, err
			}
			if status >= 100 && status < 200 {
				continue
			}
			a = &answer{Status: status, Proto: "HTTP/2.0", Header: http.Header{}}
			for _, field := range frame.RegularFields() {
				name := textproto.CanonicalMIMEHeaderKey(field.Name)
				a.Header[name] = append(a.Header[name], field.Value)
			}
			if frame.StreamEnded() || status == http.StatusOK && a.Header.Get("Content-Length") == "" && a.Header.Get("Content-Type") == "" {
				return a, nil // the second: an open tunnel
			}
		case *http2.DataFrame:
			if a == nil {
				return nil, errors.New("data before a header")
			}
			a.Body = append(a.Body, frame.Data()...)
			if frame.StreamEnded() {
				return a, nil
			}
		case *http2.RSTStreamFrame:
			if a != nil && frame.ErrCode == http2.ErrCodeNo {
				return a, nil
			}
			return nil, fmt.Errorf("%w: stream reset, %v", errNoAnswer, frame.ErrCode)
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				return nil, fmt.Errorf("%w: connection ended, %v", errNoAnswer, frame.ErrCode)
			}
		}
	}
}
