// Package prove shows, for a transaction that Coraza has parsed, that no rule can match, or says that it does not know.
//
// # What
//
// A [Prover] is compiled once from the obligations of a set of rules (package obligation) and shared by all requests. A
// [Proof] is one request's: after Coraza has parsed what a phase reads, Phase reports whether every obligation of the
// phase is shown not to match. A Proof never says that a rule does match.
//
// # Argument
//
// A rule matches only if its operator is true of a transformed value of one of its targets. So values are sorted by
// where they come from (class.go) and each is asked about all rules that look at it (plan.go). Five different things can
// exclude a rule, cheapest first, and each file says why it may:
//
//   - symbols that every match must have are not in the value (judge.go)
//   - the transformations leave the value as it is, so that it need not be transformed (work.go)
//   - strings of which every match must have one are not in the value (judge.go)
//   - an automaton over many patterns says no (union.go)
//   - the operator itself says no (operator.go)
//
// A chain of rules is excluded when one of its links is, over everything that earlier links could have left behind
// (chain.go, pool.go). What was shown about a value is remembered with the whole value (memo.go). What is not understood
// may match.
//
// # Cost and bounds
//
// A remembered value costs a hash and a comparison. Patterns are compiled when the Prover is made, never for a request;
// unions of them share what they are compiled to, so that one is a table of classes and a first state. Automata grow while
// they are used: a value, a request and the whole Prover may each build only so many states ([Options]), counted by work
// and not by time; beyond, the answer is doubt. What is read by package regexp instead is charged as well. The memo has a
// fixed number of places and bytes. Nothing else grows with traffic.
package prove
