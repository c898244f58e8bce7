// Package scripts holds programs that look after this tree and are no part of a node. Each is a file of its own, run by `go run` or a shell from the
// root of the tree; the package itself is empty.
package scripts
