// Package local lets people log in with a user name and a password that the gateway itself keeps.
//
// # What
//
// [Users] keeps accounts in the store; [Hasher] makes and checks password hashes, a bounded number at a time; [Breached]
// knows leaked passwords; a table of streaks slows down guessing; [SetupLinks] lets exactly one person become the first
// user, and [PasswordLinks] lets people set a password they do not have. [Accounts] is what administrators do, through the
// administration endpoint and `gatehouse user`; [ParseImport] reads lists of other systems. [Provider] is the Caddy module
// around them. Passwords follow NIST SP 800-63B and control CER-09: length, and lists of known bad ones; no rules about
// kinds of characters, no expiry.
//
// # Place
//
// A guest of the house (gatehouse.identity_providers.local), called by the portal below /.gatehouse/login/<name> and for
// /.gatehouse/account/password. The login form is the portal's and is posted to Base; the provider's own pages are /setup,
// open until there is a user, /change, /password (links), and /register where that is allowed.
//
// # Reads / Writes
//
// Store: bucket "user", one sealed record an account, under a hash of its name; "setup", the hash of a set-up token;
// "password_link", who may set a password; "register", how often a network has asked; and people's standing. File:
// setup-link in the state directory. Cookie: __Host-gatehouse-device. Events: user.…, setup_link.issued,
// breached_list.unreadable. Kept over reloads: the hasher, the streaks, the list of leaked passwords, which link was issued.
//
// # Invariants
//
// A password, its hash or a token is in no log, error, event or page. A known and an unknown user cost the same one hash,
// and a failure takes the same time from when its turn has come, whatever hash an account has. Hashes at a time never exceed
// half of the processors, so that logins exhaust neither memory nor what requests need. A set-up token makes at most one
// user, and none once there is one; a link to set a password works once. A subject is a user name in its one canonical
// form. An account's standing is written before the account, and voided before it is deleted. Failures elsewhere never
// keep a person out of a browser in which they have logged in before.
//
// # Fails
//
// Wrong name or password: login_failed, message bad_credentials. Too early after failures, or too many logins at once:
// too_many_attempts with the time to wait. A form without its flow, or a ticket that is over: login_expired. The store, or
// a list of leaked passwords that cannot be read: unavailable.
//
// # Cost
//
// A login: two reads of the store and one hash, 19 MiB and about 20 ms of a processor; a write at most once an hour, or when
// the hash is outdated. The streaks take at most some 12 MiB, a list of leaked words 8 bytes a word; one of hashes is
// searched in its file, some 40 reads.
package local
