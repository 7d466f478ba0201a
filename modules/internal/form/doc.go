// Package form reads the forms that browsers send, to have them sent once more, and says whether two bodies are the same.
//
// # What
//
// [Parse] takes apart a form of texts so that hidden fields can stand for it. [Digest] names what a body says, so that a
// permission can be bound to it: a form that a browser sends again has the same digest, any other body another one.
//
// # Invariants
//
// What Parse returns a browser sends back as it was: it refuses files, other encodings, and line ends that a browser would
// change. Two bodies of one digest hold the same fields, in the same order, with the same part headers; what is no form is
// told apart by its type and its bytes.
//
// # Cost
//
// One pass over a body that the caller has bounded. No state.
package form
