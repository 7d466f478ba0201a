package waf

import (
	"testing"

	"gatehouse.internal/modules/internal/verdict"
)

func TestNothingOfXMLIsSilent(t *testing.T) {
	e := engineAt(t, 1, Block)
	const escaped = "&lt;script&gt;alert(document.cookie)&lt;/script&gt;"
	tests := []struct {
		name, text string
		want       verdict.Reason
	}{
		{"text", "<a>" + escaped + "</a>", verdict.WAFBlocked},
		{"cdata", "<a><![CDATA[" + scriptText + "]]></a>", verdict.WAFBlocked},
		{"attribute", `<a b="` + escaped + `"/>`, verdict.WAFBlocked},
		{"comment", "<a><!-- " + scriptText + " --></a>", verdict.WAFBlocked},
		{"processing instruction", "<a><?x " + scriptText + " ?></a>", verdict.WAFBlocked},
		{"element name", "<a><java.lang.ProcessBuilder><command>x</command></java.lang.ProcessBuilder></a>", verdict.WAFBlocked},
		{"external entity", `<!DOCTYPE a [<!ENTITY x SYSTEM "http://example.com/x">]><a>&x;</a>`, verdict.WAFBlocked},
		{"split by an entity", `<!DOCTYPE a [<!entity x "&lt;scr">]><a>&x;ipt></a>`, verdict.WAFBlocked},
		{"plain", `<?xml version="1.0" encoding="utf-8"?><!DOCTYPE a><!-- a note --><a b="c"><d>some words</d></a>`, ""},
		{"webdav", `<?xml version="1.0"?><d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:prop><d:getetag/><oc:size/></d:prop></d:propfind>`, ""},
		{"xml-rpc", `<?xml version="1.0"?><methodCall><methodName>wp.getPost</methodName><params><param><value><int>1</int></value></param></params></methodCall>`, ""},
		{"names that HTML closes", `<feed><link href="x">y</link><meta a="b">c</meta></feed>`, ""},
		{"attack in a name that HTML closes", "<m><param><value>" + escaped + "</value></param></m>", verdict.WAFBlocked},
		{"end tag without its begin", `<a></b></a>`, verdict.BodyUnreadable},
		{"soap", `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><m:Get xmlns:m="http://example.com/m"><m:n>1</m:n></m:Get></soap:Body></soap:Envelope>`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v, i := judge(e, body("POST", "/", "text/xml", tt.text)); v.Reason != tt.want {
				t.Errorf("%+v %v, want %q", v, i.found.Rules, tt.want)
			}
		})
	}
}
