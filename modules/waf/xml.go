package waf

import (
	"bytes"
	"encoding/xml"

	"github.com/corazawaf/coraza/v3/collection"
)

// Coraza shows the rules the texts of an XML body and, to 14 rules only, the values of its attributes. Names, comments,
// processing instructions and declarations it drops without a word, though a backend may act on each (an element's
// name is a Java class to XStream). Here all but names become texts like any other: every rule on XML:/* reads them.

// Keys of the XML collection: Coraza's two, and ours. Keys are lower case, as the collection folds them.
const (
	xmlTexts      = "/*"
	xmlNames      = "//names"      // of elements, attributes and targets of instructions, each once
	xmlComments   = "//comments"   // and processing instructions
	xmlDirectives = "//directives" // <!DOCTYPE …> with all that is in it; rule 90006 refuses entities
)

// silentXML adds to m what Coraza will not. It reads data with the settings that Coraza has; where that stops with an
// error, Coraza stops too, and the body is refused.
func silentXML(m collection.Map, data []byte) {
	decoder := xml.NewDecoder(bytes.NewReader(data))
	decoder.Strict = false
	decoder.AutoClose = xml.HTMLAutoClose
	decoder.Entity = xml.HTMLEntity
	names := map[xml.Name]bool{}
	name := func(n xml.Name) {
		if !names[n] {
			names[n] = true
			m.Add(xmlNames, n.Local)
		}
	}
	for {
		token, err := decoder.RawToken()
		if err != nil {
			return
		}
		switch token := token.(type) {
		case xml.StartElement:
			name(token.Name)
			for _, attr := range token.Attr {
				name(attr.Name)
			}
		case xml.Comment:
			m.Add(xmlComments, string(token))
		case xml.ProcInst:
			if token.Target != "xml" {
				m.Add(xmlComments, token.Target+" "+string(token.Inst))
			}
		case xml.Directive:
			m.Add(xmlDirectives, string(token))
		}
	}
}

// gatherXML puts what stands under the other keys under the key of the texts as well. Names are not texts: CRS's own
// tests expect that <java.lang.Runtime> matches none of its rules, so that a rule of ours reads them (90300).
func gatherXML(m collection.Map) {
	for _, d := range m.FindAll() {
		if d.Key() != xmlTexts && d.Key() != xmlNames {
			m.Add(xmlTexts, d.Value())
		}
	}
}
