package waf

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// Coraza's reader of XML shows the rules the texts of a body and, to 14 rules only, the values of its attributes. Names,
// comments, processing instructions and declarations it drops without a word, though a backend may act on each (an
// element's name is a Java class to XStream). And it takes <param>, <link>, <meta> and other names of HTML for closed as
// soon as they are opened, so that every XML-RPC call with a parameter is "not well-formed". Ours reads XML as XML, and
// shows all of it: whatever is not a name is a text, which every rule on XML:/* reads.

// Keys of the XML collection: Coraza's two, and ours. Keys are lower case, as the collection folds them.
const (
	xmlTexts      = "/*"           // and all below but the names
	xmlAttributes = "//@*"         // their values
	xmlNames      = "//names"      // of elements and attributes, each once
	xmlComments   = "//comments"   // and processing instructions
	xmlDirectives = "//directives" // <!DOCTYPE …> with all that is in it; rule 90006 refuses entities
)

func init() {
	plugins.RegisterBodyProcessor("xml", func() plugintypes.BodyProcessor { return xmlBody{} })
}

// xmlBody replaces Coraza's processor of this name.
type xmlBody struct{}

// ProcessRequest implements plugintypes.BodyProcessor. An error becomes REQBODY_ERROR, which refuses the body.
//
// Names are not texts: CRS's own tests expect that <java.lang.Runtime> matches none of its rules, so that a rule of ours
// reads them (90300).
func (xmlBody) ProcessRequest(body io.Reader, v plugintypes.TransactionVariables, _ plugintypes.BodyProcessorOptions) error {
	parts, err := readXML(body)
	if err != nil {
		return err
	}
	m := v.RequestXML()
	for _, key := range []string{xmlAttributes, xmlComments, xmlDirectives} {
		m.Set(key, parts[key])
		parts[xmlTexts] = append(parts[xmlTexts], parts[key]...)
	}
	m.Set(xmlTexts, parts[xmlTexts])
	m.Set(xmlNames, parts[xmlNames])
	return nil
}

// ProcessResponse implements plugintypes.BodyProcessor. Coraza's reads nothing of answers either.
func (xmlBody) ProcessResponse(io.Reader, plugintypes.TransactionVariables, plugintypes.BodyProcessorOptions) error {
	return nil
}

// readXML returns what is in a document, by key. It forgives what Coraza's reader does: entities that HTML knows, end tags
// in the wrong place, and an end that comes too early.
func readXML(body io.Reader) (map[string][]string, error) {
	decoder := xml.NewDecoder(body)
	decoder.Strict = false
	decoder.Entity = xml.HTMLEntity
	parts, known := map[string][]string{}, map[string]bool{}
	add := func(key, text string) { parts[key] = append(parts[key], text) }
	name := func(n xml.Name) {
		if !known[n.Local] {
			known[n.Local] = true
			add(xmlNames, n.Local)
		}
	}
	for {
		token, err := decoder.Token()
		if early := (*xml.SyntaxError)(nil); err == io.EOF || errors.As(err, &early) && early.Msg == "unexpected EOF" {
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			name(token.Name)
			for _, attr := range token.Attr {
				name(attr.Name)
				add(xmlAttributes, attr.Value)
			}
		case xml.CharData:
			if text := strings.TrimSpace(string(token)); text != "" {
				add(xmlTexts, text)
			}
		case xml.Comment:
			add(xmlComments, string(token))
		case xml.ProcInst:
			if token.Target != "xml" {
				add(xmlComments, token.Target+" "+string(token.Inst))
			}
		case xml.Directive:
			add(xmlDirectives, string(token))
		}
	}
}
