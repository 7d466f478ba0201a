// Package secret holds what must not be seen: a string that never prints, marshals or logs itself.
//
// # What
//
// [String] for passwords, client secrets and tokens, from where they are read to where they are used.
//
// # Invariants
//
//   - fmt (every verb), log/slog, encoding/json and every encoder that asks for text see the mask, at any depth, exported field or not.
//   - Reflection finds a function, not the text: printers that walk unexported fields and follow pointers find nothing either.
//   - The mask is refused when it is read back. So a String is no type for a field of a Caddy module's JSON configuration, which is
//     marshalled and read again: keep the placeholder there ("{env.OIDC_SECRET}"), and a String, made in Provision, in an unexported field.
//
// # Cost
//
// One allocation to make; none to reveal.
package secret
