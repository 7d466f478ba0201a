// Package format writes records of what happened in the forms that log collectors read.
//
// A [Record] is one thing that happened: a request, what the WAF found in one, what somebody did with the gateway, or how the
// gateway is. What it says of people has been made pseudonyms before, or is meant to be read; nothing here knows the
// difference, but for [Record.Clear], since a pseudonym must not stand where an address or a name is expected.
//
// An [Encoder] appends one record, without a final line break, and never fails: what a form has no place for goes into its
// place for what is the sender's own. Encoders keep no state and may be used by many goroutines.
//
// In all forms, whatever the texts are, a record is one line of valid UTF-8 without control characters, and nothing in it
// can be taken for another field. A field whose type is an address has one only if the record is clear: never a pseudonym,
// never the first address of a network. [SeverityOf] decides how grave a record is, and each form says that on its scale.
package format
