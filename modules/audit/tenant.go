package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
)

const (
	adminRecords = "/gatehouse/audit/records"
	maxText      = 8 << 20 // bytes of records in one answer
	maxOperator  = 200     // bytes of a name
)

// maxRecords is how many one answer holds. Only tests write it.
var maxRecords = 2000

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

// reading is held while a tenant's records are read: the whole record is verified for each answer, and no more of it at a time.
var reading sync.Mutex

// readTenant answers with the records of one tenant alone, for an auditor of the tenant's (control CAL-26): those of requests to its
// sites, and those that say themselves that they are about it. That they are read is on record first.
func readTenant(r *http.Request) (any, error) {
	q := r.URL.Query()
	house, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	tenant := q.Get("tenant")
	if tenant == "" || house.Tenants[tenant] == nil {
		return nil, gatehouse.AdminError(http.StatusBadRequest, fmt.Errorf("the house has no tenant %q", tenant))
	}
	from, err := strconv.ParseInt("0"+q.Get("from"), 10, 64)
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusBadRequest, fmt.Errorf("%q is no sequence", q.Get("from")))
	}
	c, err := running()
	if err != nil {
		return nil, err
	}
	return readPage(r.Context(), c.Dir(), belonging{tenant, namesOf(tenant, house.Sites())}, from, func() error {
		return state.Bus.Record(event.Event{Time: time.Now(), Kind: event.AuditExported, Attrs: []event.Attr{
			{Key: "operator", Value: event.Clip(cmp.Or(r.Header.Get(gatehouse.OperatorHeader), "unknown"), maxOperator)},
			{Key: "tenant", Value: tenant}, {Key: "from", Value: strconv.FormatInt(from, 10)},
		}})
	})
}

// belonging says which records are a tenant's.
type belonging struct {
	tenant string
	names  map[string]bool
}

// namesOf are the names that sites of the tenant have, and no other site.
func namesOf(tenant string, sites []*gatehouse.Site) map[string]bool {
	names := map[string]bool{}
	for _, s := range sites {
		was, seen := names[s.Name]
		names[s.Name] = (was || !seen) && s.Tenant == tenant
	}
	return names
}

// has reports whether the record is the tenant's: a record says whose the site was; one that does not, of an older version or of the
// gateway's own doing, goes by the site's name.
func (b belonging) has(r *chain.Record) bool {
	switch {
	case r.Tenant != "":
		return r.Tenant == b.tenant
	case r.Site != "":
		return b.names[r.Site]
	}
	return r.Attr("tenant") == b.tenant
}

// readPage returns the records from a sequence on that an answer holds, once it is on record that they are read. It verifies the record
// to its end: the newest ones are signed last, and one that does not verify is an error.
func readPage(ctx context.Context, dir string, whose belonging, from int64, record func() error) (*tenantRecords, error) {
	if !reading.TryLock() {
		return nil, gatehouse.AdminError(http.StatusTooManyRequests, errors.New("the record is being read for an auditor of a tenant: ask again when that is done"))
	}
	defer reading.Unlock()
	if err := record(); err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, fmt.Errorf("nothing was read: that it is must be on record first: %w", err))
	}
	all, size := &tenantRecords{Tenant: whose.tenant, Records: []object{}}, 0
	_, err := chain.Verify(dir, chain.VerifyOptions{Each: func(r *chain.Record) error {
		if err := ctx.Err(); err != nil {
			return err // nobody waits for it
		}
		if all.Next != 0 || r.Seq < from || !whose.has(r) {
			return nil
		}
		text, err := Object(r)
		if err != nil {
			return err
		}
		if size += len(text); len(all.Records) == maxRecords || size > maxText && len(all.Records) > 0 {
			all.Next = r.Seq
			return nil
		}
		all.Records = append(all.Records, text)
		return nil
	}})
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusInternalServerError, fault(err))
	}
	return all, nil
}

// exportTenant writes what the running gateway has of one tenant.
func exportTenant(cmd *cobra.Command, args []string, tenant string) error {
	if len(args) > 0 {
		return fmt.Errorf("with --tenant the running gateway reads its own record: leave %s out", args[0])
	}
	for _, name := range []string{"key", "checkpoint", "copy", "witness", "signer"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("with --tenant the running gateway verifies its own record, and compares it with nothing: leave --%s out", name)
		}
	}
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
