// Package config is what an operator may set, and how a data directory begins: reading a configuration from flags, environment, file and
// defaults, checking it, writing a new one. It knows no kernel and opens no store, so that the command-line tool stays small; package node makes a running
// node of it.
//
// Init makes a data directory; Load reads a configuration that is safe to use.
package config

// The files of a data directory, beside the keystore and the store.
const (
	File       = "icn.toml"  // optional
	SocketFile = "icnd.sock" // while the node runs
	LockFile   = "icnd.lock" // held while the node runs; holds its process id
)
