package authz

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/store"
)

const (
	reviewBucket store.Bucket = "access_review"
	alertBucket  store.Bucket = "access_review.alerted"

	// alertEvery is how often it is told again that a review is overdue.
	alertEvery = 7 * 24 * time.Hour
	maxSaid    = 500 // bytes of a name or note
)

// SignOff says that somebody has reviewed who reaches what.
type SignOff struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Note   string    `json:"note,omitempty"`
	Digest string    `json:"digest"` // of what they have seen
}

// Reviews keep the latest sign-off. Safe for concurrent use.
type Reviews struct {
	*ledger.Ledger[SignOff]
	store store.Store
}

// OpenReviews follows what is kept from now on.
func OpenReviews(st store.Store, keys *keyring.Ring) (*Reviews, error) {
	l, err := ledger.Open(st, keys, ledger.Config[SignOff]{Bucket: reviewBucket, Most: 2})
	return &Reviews{l, st}, err
}

const (
	latest = "latest" // sign-off
	since  = "since"  // when reviews were first asked for, in a record of nobody
)

// Last returns the latest sign-off; nil: there was none.
func (r *Reviews) Last(ctx context.Context) (*SignOff, error) {
	s, err := r.Get(ctx, latest)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	return s, err
}

// Sign keeps a sign-off.
func (r *Reviews) Sign(ctx context.Context, s SignOff) error {
	if s.By == "" || len(s.By) > maxSaid || len(s.Note) > maxSaid {
		return fmt.Errorf("say who has reviewed it, and what there is to note, in %d bytes each: --by, --note", maxSaid)
	}
	if err := r.Put(ctx, latest, &s); err != nil {
		return err
	}
	return r.store.Delete(ctx, store.Key{Bucket: alertBucket, ID: latest})
}

// Due returns when the next sign-off is, if one is wanted so often. The first is so long after that was first asked for.
func (r *Reviews) Due(ctx context.Context, every time.Duration, now time.Time) (time.Time, error) {
	last, err := r.Last(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if last != nil {
		return last.At.Add(every), nil
	}
	err = r.Create(ctx, since, &SignOff{At: now})
	if err == nil {
		return now.Add(every), nil
	}
	if !errors.Is(err, ledger.ErrExists) {
		return time.Time{}, err
	}
	first, err := r.Get(ctx, since)
	if err != nil {
		return time.Time{}, err
	}
	return first.At.Add(every), nil
}

// Overdue reports whether it is to be told now that the sign-off that was due is missing, on one node, once a week.
func (r *Reviews) Overdue(ctx context.Context, every time.Duration, now time.Time) (due time.Time, tell bool, err error) {
	due, err = r.Due(ctx, every, now)
	if err != nil || now.Before(due) {
		return due, false, err
	}
	_, err = r.store.Put(ctx, store.Key{Bucket: alertBucket, ID: latest}, nil, store.PutOptions{Match: store.Absent, TTL: alertEvery})
	if errors.Is(err, store.ErrConflict) {
		return due, false, nil
	}
	return due, err == nil, err
}
