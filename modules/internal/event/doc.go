// Package event is the vocabulary of what happened, and the bus that carries it between rooms.
//
// # What
//
// Rooms never call each other: authn says login.failed, and whoever must act on it subscribes. Kinds are a closed
// list, in the past tense. An Event names people and networks only by the fields meant for that; Attrs never hold
// secrets, bodies or raw header values.
//
// # Invariants
//
// Publish never blocks and never fails: a subscriber that cannot keep up loses its oldest unread events, and the loss
// is counted. A tap sees every event before Publish returns. What Record has returned for is durable, if there is a
// keeper. Every subscriber sees the events that it did not lose in the order they were published. After Close,
// Publish does nothing and every subscriber has been handed what was queued.
//
// # Cost
//
// Publish: one lock and one ring slot a subscriber; no allocation. No goroutine without a subscriber, one each with.
package event
