// Package prefixset is an immutable set of IP prefixes, and a holder that
// swaps whole sets atomically.
//
// # What
//
// Blocklists, allow lists and trusted ranges; [Table] gives values to prefixes and is changed in place. A list is read with [Parse] (or
// built with [New]) off the request path and published with [Atomic.Store];
// requests ask [Atomic.Contains]. The table inside is a [bart.Lite].
//
// # Invariants
//
//   - A Set never changes after it was made: readers need no lock, and hold a
//     consistent set for as long as they keep the pointer.
//   - An IPv4 address and its IPv4-mapped IPv6 form are one address, in
//     entries as well as in questions; zones do not matter in questions and
//     are refused in entries.
//   - The nil and zero Set, the zero Atomic and the invalid address are legal
//     and mean "contains nothing".
//   - A list is read completely or not at all. A line that does not mean
//     exactly one prefix is an error with its number: a truncated, poisoned
//     or mistyped list must not silently become a wider or narrower one.
//   - A prefix of length 0 is refused unless asked for, and the number of
//     entries is bounded (I10).
//
// # Cost
//
// Contains allocates nothing and takes at most 4 (IPv4) or 16 (IPv6) steps,
// whatever the size of the set; of large ones most addresses that are in none
// cost one look into a bitmap (2 MiB of memory for each set). Building allocates; keep it off requests.
package prefixset
