// Package chain keeps a record of what was done that nobody can change later without it being seen, those who run the
// gateway included.
//
// # What
//
// A [Chain] appends records to segment files of a directory. A record's hash is in the one after it and in a Merkle tree
// (RFC 6962, so that excerpts can be proven); each group of records is written with a checkpoint, which is the tree's size
// and root, signed (C2SP signed note, tlog-checkpoint). [Verify] reads such a directory with nothing but a public key.
//
// Keys last for an epoch. The next key is certified by the one before, over the tree as it stands, and then the one before is
// erased: whoever steals the key of today can sign what comes, and can change nothing of the epochs before. The certificates
// are in the file epochs and go back to the root, the first key, which is the one that auditors keep.
//
// What a record says of people is beside it, not in it: the record holds a salted hash of that part. It can be taken away
// later, and everything else still verifies. Of a person who has a name it is sealed, but for who did it, under a key of that
// person's: when the key is destroyed (subject.go), copies of the records are unreadable, too.
//
// The files, all of them text:
//
//	segment-<first sequence>.log   a header; then records, "core TAB personal part", and checkpoints, one a line, as JSON
//	epochs                         the certificates of the keys, one a line
//	checkpoint                     the last published checkpoint: what to give to a witness, and to keep elsewhere
//	key                            the key of this epoch, secret
//	subjects                       the keys of people, secret: without the file, what records say of them is sealed
//	holds                          who wants nothing pruned, and why
//
// # Invariants
//
// What [Chain.Record] has returned for is on the disk, and so is all that was kept before it. What could not be written is
// refused or counted as lost, and the count is recorded when writing works again. Records are written once and never again;
// whole segments are pruned, which is recorded first. What stands after the last checkpoint was never acknowledged, and is
// cut off when the chain is opened.
//
// # Cost
//
// Record: one write and one fsync for everybody who waits at that time, one Ed25519 signature (50 µs). Keep: a lock and a
// slot in a queue of fixed length; the disk is not waited for.
package chain
