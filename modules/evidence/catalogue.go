package evidence

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed controls.yaml
var controlsYAML []byte

// Statements are the security statements, by the name that controls.yaml and --statement give them.
var Statements = []string{"cerebro", "brainframe", "calbrix", "cetbix", "natalia"}

// Control is one promise, and how it is kept.
type Control struct {
	ID        string `yaml:"id" json:"id"` // such as CER-01
	Statement string `yaml:"-" json:"statement"`
	Promise   string `yaml:"promise" json:"promise"` // as the statement words it
	Verb      string `yaml:"verb" json:"verb"`       // enforces, records or supports
	Does      string `yaml:"does" json:"does"`       // what the gateway does about it
	// Setting names the predicate on the configuration.
	Setting string `yaml:"setting" json:"setting"`
	// Probes name what tries it from outside; none: nothing can.
	Probes []string `yaml:"probes" json:"probes,omitempty"`
	// Audit are the kinds of events that tell of it.
	Audit []string `yaml:"audit" json:"audit,omitempty"`
	Refs  Refs     `yaml:"refs" json:"references"`
}

// Refs are what frameworks call the control.
type Refs struct {
	NIST  []string `yaml:"nist" json:"nist_sp_800_53r5,omitempty"`
	ISO   []string `yaml:"iso" json:"iso_27001_2022,omitempty"`
	ANSSI []int    `yaml:"anssi" json:"anssi_hygiene,omitempty"`
	CAIQ  []string `yaml:"caiq" json:"caiq_v4,omitempty"`
}

// list is the references in one line; "" for none.
func (r Refs) list() string {
	var all []string
	add := func(framework string, ids []string) {
		if len(ids) > 0 {
			all = append(all, framework+" "+strings.Join(ids, " "))
		}
	}
	add("NIST", r.NIST)
	add("ISO", r.ISO)
	var measures []string
	for _, n := range r.ANSSI {
		measures = append(measures, fmt.Sprint(n))
	}
	add("ANSSI", measures)
	add("CAIQ", r.CAIQ)
	return strings.Join(all, "; ")
}

var (
	controlID = regexp.MustCompile(`^(CER|BRF|CAL|CTB|NAT)-[0-9]{2}$`)
	// What identifiers of the frameworks look like, so that a slip of the pen is no reference.
	nistID = regexp.MustCompile(`^(AC|AU|CA|CM|CP|IA|IR|PL|PM|PS|PT|RA|SA|SC|SI|SR)-[0-9]{1,2}(\([0-9]{1,2}\))?$`)
	isoID  = regexp.MustCompile(`^A\.(5\.([1-9]|[12][0-9]|3[0-7])|6\.[1-8]|7\.([1-9]|1[0-4])|8\.([1-9]|[12][0-9]|3[0-4]))$`)
	caiqID = regexp.MustCompile(`^(AIS|BCR|CCC|CEK|DCS|DSP|GRC|HRS|IAM|IPY|IVS|LOG|SEF|STA|TVM|UEM)-[0-9]{2}\.[1-9]$`)
)

const anssiMeasures = 42

var statementOf = map[string]string{"CER": "cerebro", "BRF": "brainframe", "CAL": "calbrix", "CTB": "cetbix", "NAT": "natalia"}

// Catalogue returns the controls in their order. The slice is the caller's.
func Catalogue() ([]Control, error) { return readCatalogue(controlsYAML) }

func readCatalogue(text []byte) ([]Control, error) {
	var c struct {
		Controls []Control `yaml:"controls"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("controls.yaml: %w", err)
	}
	seen := map[string]bool{}
	for i := range c.Controls {
		control := &c.Controls[i]
		if seen[control.ID] {
			return nil, fmt.Errorf("controls.yaml: %s is there twice", control.ID)
		}
		seen[control.ID] = true
		if err := control.check(); err != nil {
			return nil, fmt.Errorf("controls.yaml: %s: %w", control.ID, err)
		}
		control.Statement = statementOf[control.ID[:3]]
	}
	if len(c.Controls) == 0 {
		return nil, errors.New("controls.yaml: there are no controls")
	}
	return c.Controls, nil
}

func (c *Control) check() error {
	switch {
	case !controlID.MatchString(c.ID):
		return errors.New("want an id such as CER-01")
	case c.Promise == "" || c.Does == "":
		return errors.New("want a promise and what the gateway does about it")
	case !slices.Contains([]string{"enforces", "records", "supports"}, c.Verb):
		return fmt.Errorf("%q is none of enforces, records, supports", c.Verb)
	case predicates[c.Setting] == nil:
		return fmt.Errorf("there is no setting %q", c.Setting)
	}
	for _, name := range c.Probes {
		if probes[name].about == "" {
			return fmt.Errorf("there is no probe %q", name)
		}
	}
	for ids, form := range map[*[]string]*regexp.Regexp{&c.Refs.NIST: nistID, &c.Refs.ISO: isoID, &c.Refs.CAIQ: caiqID} {
		for _, id := range *ids {
			if !form.MatchString(id) {
				return fmt.Errorf("%q is no identifier of that framework", id)
			}
		}
	}
	for _, n := range c.Refs.ANSSI {
		if n < 1 || n > anssiMeasures {
			return fmt.Errorf("the guide has no measure %d", n)
		}
	}
	return nil
}
