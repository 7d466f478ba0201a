// Package local lets people log in with a user name and a password that the gateway itself keeps.
//
// # What
//
// [Users] keeps accounts in the store; [Hasher] makes and checks Argon2id hashes, a bounded number at a time; a table of
// streaks slows down guessing; [SetupLinks] lets exactly one person become the first user. [Provider] is the Caddy
// module around them. Passwords follow NIST SP 800-63B and control CER-09: length, and a list of known bad ones; no rules
// about kinds of characters, no expiry.
//
// # Place
//
// A guest of the house (gatehouse.identity_providers.local), called by the portal below /.gatehouse/login/<name>. The
// login form is the portal's and is posted to Base; /setup is the provider's own page, open until there is a user.
//
// # Reads / Writes
//
// Store: bucket "user", one sealed record an account, under a hash of its name; bucket "setup", the hash of a set-up
// token. File: setup-link in the state directory. Events: user.created, setup_link.issued. Kept over reloads: the hasher,
// the streaks, which link was issued.
//
// # Invariants
//
// A password, its hash or a set-up token is in no log, error, event or page. A known and an unknown user cost the same
// one hash and get the same answer. Hashes at a time never exceed the processors, so that logins cannot exhaust memory.
// A set-up token makes at most one user, and none once there is one. A subject is a user name in its one canonical form.
//
// # Fails
//
// Wrong name or password: login_failed, message bad_credentials. Too early after failures, or too many logins at once:
// too_many_attempts with the time to wait. A form without its flow: login_expired. The store: unavailable.
//
// # Cost
//
// A login: one read of the store and one hash, 19 MiB and about 20 ms of a processor; a write only when the hash is outdated.
// The streaks take at most some 12 MiB.
package local
