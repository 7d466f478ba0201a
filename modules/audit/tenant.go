package audit

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
)

const (
	adminRecords = "/gatehouse/audit/records"
	maxRecords   = 2000 // in one answer
)

// tenantRecords are records of one tenant's, each as [Object] has it.
type tenantRecords struct {
	Tenant  string   `json:"tenant"`
	Records []object `json:"records"`
	// Next is where to go on from; 0: that is all.
	Next int64 `json:"next,omitempty"`
}

// object is one JSON object, as it is.
type object []byte

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) { return o, nil }

// UnmarshalJSON implements json.Unmarshaler.
func (o *object) UnmarshalJSON(text []byte) error {
	*o = append((*o)[:0], text...)
	return nil
}

// errEnough ends the reading of a record of which more was found than an answer holds.
var errEnough = errors.New("enough")

// readTenant answers with the records of one tenant alone, for an auditor of the tenant's (control CAL-26): those of requests to its
// sites, and those that say themselves that they are about it. The whole record is verified while it is read, and one that does not
// verify is an error.
func readTenant(r *http.Request) (any, error) {
	q := r.URL.Query()
	house, _, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	all := tenantRecords{Tenant: q.Get("tenant"), Records: []object{}}
	if all.Tenant == "" || house.Tenants[all.Tenant] == nil {
		return nil, gatehouse.AdminError(http.StatusBadRequest, fmt.Errorf("the house has no tenant %q", all.Tenant))
	}
	from, err := strconv.ParseInt("0"+q.Get("from"), 10, 64)
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusBadRequest, fmt.Errorf("%q is no sequence", q.Get("from")))
	}
	sites := map[string]bool{}
	for _, s := range house.Sites() {
		sites[s.Name] = s.Tenant == all.Tenant
	}
	c, err := running()
	if err != nil {
		return nil, err
	}
	_, err = chain.Verify(c.Dir(), chain.VerifyOptions{Each: func(r *chain.Record) error {
		mine := sites[r.Site]
		if r.Site == "" && r.Personal != nil {
			mine = r.Attr("tenant") == all.Tenant
		}
		if !mine || r.Seq < from {
			return nil
		}
		if len(all.Records) == maxRecords {
			all.Next = r.Seq
			return errEnough
		}
		text, err := Object(r)
		all.Records = append(all.Records, text)
		return err
	}})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, gatehouse.AdminError(http.StatusInternalServerError, fault(err))
	}
	return all, nil
}

// exportTenant writes what the running gateway has of one tenant.
func exportTenant(cmd *cobra.Command, tenant string) error {
	q, err := readQuery(cmd)
	if err != nil {
		return err
	}
	if q != (Query{}) {
		return errors.New("with --tenant the records are all of the tenant's: choose among them with a program such as jq")
	}
	for from := int64(0); ; {
		var got tenantRecords
		ask := url.Values{"tenant": {tenant}, "from": {strconv.FormatInt(from, 10)}}
		if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminRecords+"?"+ask.Encode(), nil, &got); err != nil {
			return err
		}
		for _, text := range got.Records {
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text); err != nil {
				return err
			}
		}
		if from = got.Next; from == 0 {
			return nil
		}
	}
}
