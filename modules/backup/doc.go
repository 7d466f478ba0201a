// Package backup keeps encrypted copies of the gateway's state that the gateway itself cannot read, and restores them.
//
// # What
//
// An [Archive] is an age file (C2SP) with a tar archive in it: the embedded store as it was at one moment (a transaction, while
// requests go on), the master keys, and the audit log up to a checkpoint. The house's word backup says to whom it is encrypted,
// where it is put, how often and how many are kept, and what program takes it elsewhere (object storage, another machine). gatehouse backup verify restores one into a scratch directory and looks at all
// that is in it; gatehouse backup restore makes a state directory of it, on a machine that has none. See decisions/0024.
//
// # Place
//
// Outside the row: a timer, the administration endpoint, the command line. The house's word backup.
//
// # Reads / Writes
//
// Reads the store, the file of keys and the audit log. Writes the directory of backups, and the file backup.json of the state
// directory, which says what was made and what was verified. No field of Request.
//
// # Invariants
//
// No identity is here. A backup is there whole or not at all, and no good one is removed before a newer one is there. What is
// restored was read to its end, which its encryption vouches for, and counted; a state directory that has something in it is left
// alone. Sessions, logins under way and links that work once are not restored: they may have ended since. The keys of people and of
// the audit log's epoch are in no backup.
//
// # Fails
//
// A backup that cannot be made, or carried elsewhere, is told of (backup.failed), tried again after ten minutes at most, and its age is a metric and an
// alert. So are backups that nobody has restored for a while.
//
// # Cost
//
// None for requests. A copy of the store's file in the state directory while one is made, and one read transaction for as long as
// it takes to write that.
package backup
