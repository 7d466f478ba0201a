package waf

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"

	"gatehouse.internal/modules/internal/verdict"
)

// A body whose type says that it is opaque is streamed. The type is the client's word, and backends exist that never ask
// for it: a JSON decoder reads what comes, PHP runs what was stored. So the beginning is looked at first: as far as it
// reads as text, the rules judge it as they judge a text/plain body, and the rest is streamed. Binary data is shown to
// no rule. decisions/0009 has the argument.

// headBytes is how much of a streamed body is looked at.
const headBytes = 4 << 10

// skippedType is what skipped says of a body of which at most the beginning was judged.
const skippedType = "content_type"

// beginning reads the first headBytes of a body that will be streamed and puts them back. It returns what of them the
// rules are to judge. What it holds is no more than the connection's own buffer, and not charged to the budget: a
// stream may last for hours.
func (i *Inspection) beginning(r *http.Request) ([]byte, verdict.Verdict) {
	i.skipped = skippedType
	if converses(r.Header) {
		return nil, verdict.Verdict{}
	}
	head, whole, err := peek(r.Body, headBytes)
	if err != nil {
		return nil, unreadable(r.Context(), err)
	}
	rest := io.Reader(r.Body)
	if whole {
		rest = nil
	}
	r.Body = replayed(head, rest, r.Body)
	if coding, err := encoding(r.Header); err == nil && coding != "" {
		head, whole = unpackHead(head, whole)
	}
	text, all := readable(head)
	if len(text) == 0 {
		return nil, verdict.Verdict{}
	}
	if whole && all {
		i.skipped = "" // all of it is judged
		if json.Valid(text) && (text[0] == '{' || text[0] == '[') {
			i.setProcessor("JSON")
		}
	}
	i.cost += bodyCosts(i.processor(), "", text)
	return text, verdict.Verdict{}
}

// peek reads up to n bytes; whole says that there are no more.
func peek(body io.Reader, n int) (head []byte, whole bool, err error) {
	head = make([]byte, 0, n)
	for len(head) < n {
		m, err := body.Read(head[len(head):n])
		head = head[:len(head)+m]
		if err == io.EOF {
			return head, true, nil
		}
		if err != nil {
			return head, false, err
		}
	}
	return head, false, nil
}

// unpackHead returns the first headBytes of what gzip data begins with; nothing when it is not gzip.
func unpackHead(data []byte, whole bool) ([]byte, bool) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, false
	}
	head, all, err := peek(z, headBytes)
	return head, all && whole && err == nil
}

// converses reports whether the body is one side of a conversation, or text by its own protocol: gRPC, where a client
// may wait for an answer before it sends, so that waiting for its first bytes could last forever; and Git's.
func converses(h http.Header) bool {
	name, _, _ := mime.ParseMediaType(h.Get("Content-Type")) // streams has read it
	return strings.HasPrefix(name, "application/grpc") || strings.HasPrefix(name, "application/x-git-")
}

// codeMarks begin what a server would run, wherever it stands: a picture with PHP in its comment is a picture and a
// program. Each is too long to come up in binary data by chance (5 letters in 4 KiB, in either case: once in 10^8).
var codeMarks = [][]byte{[]byte("<?php"), []byte("<script"), []byte("<%@ page"), []byte("<jsp:")}

// readable returns the part of the beginning of an opaque body that some parser would take for text, nil for none, and
// whether that is all of it.
//
//   - From its start, when it opens like JSON, XML, HTML or a script; control characters, which these cannot hold, end
//     it. Bytes over 7F do not: a parser may replace them and go on.
//   - All of it, when it holds no control character.
//   - From a mark of code on, wherever that is.
//
// A PDF is text at its beginning and starts as no parser of the others would accept: only marks count there.
func readable(head []byte) (text []byte, all bool) {
	start := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	text = untilControl(start)
	all = len(text) == len(start)
	switch {
	case len(start) == 0:
		return nil, false
	case bytes.HasPrefix(start, []byte("%PDF-")):
	case all, len(text) >= 16 && (strings.IndexByte("{[<\"", start[0]) >= 0 || bytes.HasPrefix(start, []byte("#!"))):
		return text, all
	}
	lower := bytes.Clone(start) // bytes.ToLower would make other lengths of what is no UTF-8
	for n, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[n] = c | 0x20
		}
	}
	first := -1
	for _, mark := range codeMarks {
		if at := bytes.Index(lower, mark); at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	if first < 0 {
		return nil, false
	}
	return untilControl(start[first:]), false
}

// untilControl cuts data before its first control character that no text has.
func untilControl(data []byte) []byte {
	for n, c := range data {
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != '\v' || c == 0x7f {
			return data[:n]
		}
	}
	return data
}

// setProcessor says which of Coraza's parsers reads the body, as ctl:requestBodyProcessor would.
func (i *Inspection) setProcessor(name string) {
	setProcessor(i.tx, name)
}
