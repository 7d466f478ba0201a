// Package clientip holds the canonical client address and its aggregate.
//
// # What
//
// [Parse] turns what the server knows of the peer (RemoteAddr, or Caddy's
// client_ip variable) into one canonical [netip.Addr]: IPv4-mapped IPv6
// unmapped, no zone. [Network] turns an address into the prefix by which one
// client is counted, limited and banned: /32 for IPv4, /64 for IPv6, because
// a single IPv6 host owns at least a /64 (RFC 6177, RFC 8981).
//
// # Invariants
//
//   - Two spellings of one address give equal (==) results, so addresses and
//     prefixes are safe as map keys.
//   - Unknown is an error and the zero Addr, never a guess: unix peers, "",
//     and the unspecified address have least trust.
//   - An address is never replaced by another one that is embedded in it. The
//     result of Parse and Canonical decides about trust ("10.0.0.0/8 is
//     internal"); if 64:ff9b::a00:1 became 10.0.0.1, whoever can send from a
//     translated address would inherit that trust.
//   - Embedded IPv4 addresses change only the length of the aggregate, which
//     stays in the IPv6 space, so nobody can get an IPv4 prefix banned by
//     sending from an IPv6 address.
//
// How the transition prefixes aggregate, and why:
//
//   - NAT64 64:ff9b::/96 (RFC 6052): all of the IPv4 internet shares one /64,
//     and one abuser would get everybody behind the translator banned. The
//     prefix length is 96 plus the IPv4 length: /128 by default.
//   - 6to4 2002::/16 (RFC 3056): one IPv4 host owns a /48, so /64 would give
//     it 65536 clients' worth of allowance. The prefix length is at most 16
//     plus the IPv4 length: /48 by default.
//   - Teredo 2001::/32 (RFC 4380) and local-use NAT64 64:ff9b:1::/48
//     (RFC 8215) aggregate as any IPv6 address. Teredo clients choose half of
//     the bits after the server's, so nothing finer than the server's /64 is
//     safe (and the service is gone); the layout of local-use prefixes is the
//     operator's secret. Their clients share a bucket: less service, never
//     less protection.
//
// # Cost
//
// No allocation, except for text that is made of address characters and is no
// address ("1.2.3"). No state; safe for concurrent use.
package clientip
