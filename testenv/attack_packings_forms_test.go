package testenv

import (
	"encoding/base64"
	"strings"
)

// formPackings are urlencoded bodies.
func formPackings() []packing {
	const form = "application/x-www-form-urlencoded"
	post := func(name, contentType string, body func(string) string) packing {
		return plainPacking(name, func(s string) []byte {
			return rawRequest("POST", "/save", body(s), "Content-Type: "+contentType)
		})
	}
	field := func(s string) string { return "a=1&q=" + percent(s) }
	refused := func(p packing) packing { p.refused = true; return p }
	return []packing{
		post("form", form, field),
		post("form, as it is", form, func(s string) string { return "q=" + s }),
		post("form, encoded twice", form, func(s string) string { return "q=" + percent(percent(s)) }),
		post("form, %u escapes", form, func(s string) string { return "q=" + eachByte("%%u%04x", s) }),
		post("form, base64", form, func(s string) string { return "q=" + percent(base64.StdEncoding.EncodeToString([]byte(s))) }),
		post("form, name", form, func(s string) string { return percent(s) + "=1" }),
		post("form, charset", form+"; charset=utf-8", field),
		refused(post("form, charset that nobody reads", form+"; charset=ibm500", field)),
		post("form, type in capitals", strings.ToUpper(form), field),
		post("form, behind semicolons", form, func(s string) string { return "a=1;q=" + percent(s) }),
		post("form, last of 500", form, func(s string) string { return strings.Repeat("a=1&", 499) + "q=" + percent(s) }),
	}
}

// jsonPackings are JSON bodies.
func jsonPackings() []packing {
	post := func(name, contentType string, body func(string) string) packing {
		return plainPacking(name, func(s string) []byte {
			return rawRequest("POST", "/graphql", body(s), "Content-Type: "+contentType)
		})
	}
	const kind = "application/json"
	object := func(s string) string { return `{"id":17,"q":` + inJSON(s) + `}` }
	escaped := func(s string) string { return `{"q":"` + eachByte(`\u%04x`, s) + `"}` }
	refused := func(p packing) packing { p.refused = true; return p }
	return []packing{
		post("JSON", kind, object),
		post("JSON, escapes", kind, escaped),
		post("JSON, string alone", kind, inJSON),
		post("JSON, key", kind, func(s string) string { return `{` + inJSON(s) + `:1}` }),
		post("JSON, key with escapes", kind, func(s string) string { return `{"` + eachByte(`\u%04x`, s) + `":1}` }),
		post("JSON, array", kind, func(s string) string { return `[1,[2,[3,` + inJSON(s) + `]]]` }),
		post("JSON, 50 deep", kind, func(s string) string {
			return strings.Repeat(`{"a":`, 50) + inJSON(s) + strings.Repeat(`}`, 50)
		}),
		post("JSON, key twice, first", kind, func(s string) string { return `{"q":` + inJSON(s) + `,"q":"x"}` }),
		post("JSON, key twice, second", kind, func(s string) string { return `{"q":"x","q":` + inJSON(s) + `}` }),
		post("JSON, in a string", kind, func(s string) string { return `{"body":` + inJSON(object(s)) + `}` }),
		post("JSON, percent", kind, func(s string) string { return `{"q":"` + percent(s) + `"}` }),
		post("JSON, base64", kind, func(s string) string { return `{"q":"` + base64.StdEncoding.EncodeToString([]byte(s)) + `"}` }),
		post("JSON, character references", kind, func(s string) string { return `{"q":"` + eachByte("&#x%x;", s) + `"}` }),
		post("JSON, vendor's type", "application/vnd.api+json", object),
		post("JSON, text/json", "text/json", object),
		post("JSON, charset", "application/json; charset=utf-8", object),
		refused(post("JSON, UTF-16", kind, func(s string) string { return inUTF16(object(s)) })),
		refused(post("JSON, comment", kind, func(s string) string { return "/* x */" + object(s) })),
		refused(post("JSON, more behind it", kind, func(s string) string { return `{"a":1}` + object(s) })),
		refused(post("JSON, single quotes", kind, func(s string) string { return `{'q':` + inJSON(s) + `}` })),
		post("GraphQL in JSON", kind, func(s string) string {
			return `{"query":"query($i:ID){user(id:$i){name}}","variables":{"i":` + inJSON(s) + `}}`
		}),
	}
}

// multipartPackings are fields of multipart bodies, and the names of files.
func multipartPackings() []packing {
	wrap := func(head, body string) string { return "--xYzZY\r\n" + head + "\r\n\r\n" + body + "\r\n--xYzZY--\r\n" }
	quoted := func(s string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) }
	const (
		kind  = "multipart/form-data; boundary=xYzZY"
		field = `Content-Disposition: form-data; name="q"`
	)
	post := func(name, contentType string, body func(string) (string, error)) packing {
		return packing{name: name, pack: func(s string) ([]byte, error) {
			b, err := body(s)
			return rawRequest("POST", "/upload", b, "Content-Type: "+contentType), err
		}}
	}
	plain := func(head string) func(string) (string, error) {
		return func(s string) (string, error) { return wrap(head, s), nil }
	}
	named := func(head func(string) string) func(string) (string, error) {
		return func(s string) (string, error) { return wrap(head(s), "x"), nil }
	}
	refused := func(p packing) packing { p.refused = true; return p }
	return []packing{
		post("multipart", kind, plain(field)),
		post("multipart, boundary in quotes", `multipart/form-data; boundary="xYzZY"`, plain(field)),
		post("multipart, name without quotes", kind, plain(`Content-Disposition: form-data; name=q`)),
		post("multipart, typed field", kind, plain(field+"\r\nContent-Type: text/plain")),
		post("multipart, JSON field", kind, func(s string) (string, error) {
			return wrap(field+"\r\nContent-Type: application/json", `{"a":`+inJSON(s)+`}`), nil
		}),
		post("multipart, name", kind, named(func(s string) string { return `Content-Disposition: form-data; name="` + quoted(s) + `"` })),
		post("multipart, file name", kind, named(func(s string) string {
			return `Content-Disposition: form-data; name="f"; filename="` + quoted(s) + `"`
		})),
		post("multipart, encoded file name", kind, named(func(s string) string {
			return `Content-Disposition: form-data; name="f"; filename*=UTF-8''` + percent(s)
		})),
		refused(post("multipart, field in base64", kind, func(s string) (string, error) {
			return wrap(field+"\r\nContent-Transfer-Encoding: base64", base64.StdEncoding.EncodeToString([]byte(s))), nil
		})),
		post("multipart, field in quoted-printable", kind, func(s string) (string, error) {
			qp, err := quotedPrintable(s)
			return wrap(field+"\r\nContent-Transfer-Encoding: quoted-printable", qp), err
		}),
		refused(post("multipart, field in UTF-7", kind, plain(field+"\r\nContent-Type: text/plain; charset=utf-7"))),
		post("multipart, last of 50", kind, func(s string) (string, error) {
			return strings.Repeat("--xYzZY\r\n"+field+"\r\n\r\nx\r\n", 49) + wrap(field, s), nil
		}),
		post("multipart, before the first part", kind, func(s string) (string, error) { return s + "\r\n" + wrap(field, "x"), nil }),
		post("multipart, file", kind, plain(`Content-Disposition: form-data; name="f"; filename="a.txt"`+"\r\nContent-Type: text/plain")),
		post("multipart, only line feeds", kind, func(s string) (string, error) {
			return strings.ReplaceAll(wrap(field, s), "\r\n", "\n"), nil
		}),
		refused(post("multipart, no end", kind, func(s string) (string, error) {
			return strings.TrimSuffix(wrap(field, s), "\r\n--xYzZY--\r\n"), nil
		})),
		refused(post("multipart, no boundary", "multipart/form-data", plain(field))),
	}
}

// xmlPackings are XML bodies.
func xmlPackings() []packing {
	post := func(name, contentType string, body func(string) string) packing {
		return plainPacking(name, func(s string) []byte {
			return rawRequest("POST", "/soap", body(s), "Content-Type: "+contentType)
		})
	}
	const kind = "application/xml"
	text := func(s string) string { return `<?xml version="1.0"?><a><b>` + inXML(s) + `</b></a>` }
	refused := func(p packing) packing { p.refused = true; return p }
	return []packing{
		post("XML", kind, text),
		post("XML, text/xml", "text/xml", text),
		post("XML, SOAP", "application/soap+xml", func(s string) string {
			return `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><get>` + inXML(s) + `</get></s:Body></s:Envelope>`
		}),
		post("XML, attribute", kind, func(s string) string { return `<a b="` + inXML(s) + `"/>` }),
		post("XML, CDATA", kind, func(s string) string { return `<a><![CDATA[` + s + `]]></a>` }),
		post("XML, character references", kind, func(s string) string { return `<a>` + eachByte("&#x%x;", s) + `</a>` }),
		post("XML, comment", kind, func(s string) string { return `<a><!-- ` + strings.ReplaceAll(s, "--", "- -") + ` --></a>` }),
		post("XML, instruction", kind, func(s string) string { return `<a><?php ` + strings.ReplaceAll(s, "?>", "") + ` ?></a>` }),
		post("XML, text between elements", kind, func(s string) string { return `<a><b/>` + inXML(s) + `<c/></a>` }),
		refused(post("XML, entity", kind, func(s string) string {
			return `<!DOCTYPE a [<!ENTITY e "` + inXML(s) + `">]><a>&e;</a>`
		})),
		refused(post("XML, UTF-16", kind, func(s string) string { return inUTF16(`<a>` + inXML(s) + `</a>`) })),
	}
}
