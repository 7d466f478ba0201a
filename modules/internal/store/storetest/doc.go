// Package storetest is the contract of store.Store as tests. Every engine runs it; what it does not say, no caller may rely on.
package storetest
