// Package retain removes log files once they are as old as they may become.
//
// # What
//
// A [Family] is a log file and those that it was rolled into. What of it is too old is put on record, and then removed;
// while somebody holds the record, nothing is.
//
// # Invariants
//
// What cannot be put on record stays. A file is judged by its newest record, which was written when the file was last
// changed; the one that is being written is emptied, never removed, and only when nobody has written for so long.
//
// # Cost
//
// A sweep reads one directory.
package retain
