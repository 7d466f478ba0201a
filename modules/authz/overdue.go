package authz

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
)

func init() { caddy.RegisterModule(new(Recertification)) }

// Recertification says how often somebody has to review who reaches what, and has the house tell when that is overdue.
type Recertification struct {
	// How long a sign-off counts.
	Every caddy.Duration `json:"every"`

	ctx    caddy.Context
	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*Recertification) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.access_review", New: func() caddy.Module { return new(Recertification) }}
}

// UnmarshalCaddyfile reads:
//
//	access_review <duration>
func (c *Recertification) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	var text string
	if !d.Args(&text) || d.NextArg() {
		return d.Err("access_review: write how long a sign-off counts, such as `access_review 90d`")
	}
	every, err := caddy.ParseDuration(text)
	if err != nil || every <= 0 {
		return d.Errf("access_review: %q is not a positive duration: write one like 90d", text)
	}
	c.Every = caddy.Duration(every)
	return nil
}

// Provision checks the words.
func (c *Recertification) Provision(ctx caddy.Context) error {
	c.ctx, c.logger = ctx, ctx.Logger()
	if c.Every <= 0 {
		return gatehouse.Refused(fmt.Errorf("access_review: want a positive duration, such as 90d"))
	}
	return nil
}

// StartRoom implements gatehouse.RoomStarter.
func (c *Recertification) StartRoom(_ *gatehouse.App, state *gatehouse.State) error {
	reviews, err := reviewsOf(state)
	if err != nil {
		return err
	}
	go c.watch(c.ctx, reviews, state.Bus)
	return nil
}

// watch looks every hour, and oftener where sign-offs are wanted oftener.
func (c *Recertification) watch(ctx context.Context, reviews *Reviews, bus *event.Bus) {
	every := time.Duration(c.Every)
	tick := time.NewTicker(min(time.Hour, max(every/4, 100*time.Millisecond)))
	defer tick.Stop()
	for {
		due, tell, err := reviews.Overdue(ctx, every, time.Now())
		switch {
		case err != nil && ctx.Err() == nil:
			c.logger.Warn("it cannot be found out whether an access review is overdue", zap.Error(err))
		case tell:
			bus.Publish(event.Event{Time: time.Now(), Kind: event.AccessReviewOverdue, Detail: "a review of who reaches what was due on " + due.UTC().Format(time.RFC3339)})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// reviewsOf returns what is kept of reviews, which outlives configurations.
func reviewsOf(state *gatehouse.State) (*Reviews, error) {
	kept, err := state.Keep("authz.reviews", func() (caddy.Destructor, error) { return OpenReviews(state.Store, state.Keys) })
	if err != nil {
		return nil, err
	}
	return kept.(*Reviews), nil
}

var (
	_ caddy.Provisioner     = (*Recertification)(nil)
	_ caddyfile.Unmarshaler = (*Recertification)(nil)
	_ gatehouse.RoomStarter = (*Recertification)(nil)
)
