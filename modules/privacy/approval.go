package privacy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const (
	approvalBucket  store.Bucket = "privacy.approval"
	approvalPurpose              = "privacy.approval"
	approvedFor                  = time.Hour
)

// approval is one person's word that another may have the record of a request, once.
type approval struct {
	By  string    `json:"by"` // provider:subject
	Why string    `json:"why"`
	At  time.Time `json:"at"`
}

func approvalKey(requestID, analyst string) store.Key {
	sum := sha256.Sum256([]byte(requestID + "\x00" + analyst))
	return store.Key{Bucket: approvalBucket, ID: hex.EncodeToString(sum[:])}
}

// approve keeps an approval for approvedFor.
func approve(ctx context.Context, st store.Store, keys *keyring.Ring, requestID, analyst string, a approval) error {
	plain, err := json.Marshal(a)
	if err != nil {
		return err
	}
	key := approvalKey(requestID, analyst)
	_, err = st.Put(ctx, key, keys.Seal(approvalPurpose, plain, []byte(key.ID)), store.PutOptions{TTL: approvedFor})
	return err
}

var errNotApproved = errors.New("nobody has approved it in the last hour")

// redeem takes an approval by one of those whom ok reports true of, or returns errNotApproved.
func redeem(ctx context.Context, st store.Store, keys *keyring.Ring, requestID, analyst string, ok func(by string) bool) (a approval, err error) {
	key := approvalKey(requestID, analyst)
	item, err := st.Take(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return a, errNotApproved
	}
	if err != nil {
		return a, err
	}
	plain, err := keys.OpenStored(approvalPurpose, item.Value, []byte(key.ID))
	if err == nil {
		err = json.Unmarshal(plain, &a)
	}
	if err != nil {
		return a, fmt.Errorf("reading the approval: %w", err)
	}
	if a.By == analyst || !ok(a.By) {
		return a, errNotApproved
	}
	return a, nil
}
