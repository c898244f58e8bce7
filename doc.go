// Package icn is the root of the InterCooperative Network: a peer-to-peer coordination layer for co-operatives, with
// no central server and no global consensus. The package itself is empty. It holds this map and, in its tests, the law
// that keeps the map true.
//
// Everything that happens is a signed record in an author's append-only feed. Imports run strictly downwards:
//
//	cmd/            the programs: flags and exit codes
//	node/           composition root: configuration -> store, keys, kernel, apps, edge
//	edge/           what the outside calls: knows operations, no app by name
//	client/         the Go client of a running node
//	app/            the list of apps, and the only place where they are wired to each other
//	app/<name>      one app: a pure fold of records into state, a policy oracle, operations; no app imports another
//	app/fact        the vocabulary of typed facts that apps publish about their records; not an app
//	kernel/         supervisor and the road of a record: verify, order, fold, commit, replicate
//	kernel/identity keys, device certificates, the encrypted keystore
//	kernel/record   canonical record encoding, ids, signatures, DIDs
//	kernel/internal the machinery, out of reach of everything but the kernel
//	kernel/api      the boundary between kernel and apps; imports the standard library only
//	codec obs       canonical bytes; logs and metrics; know nothing of ICN
//
// The kernel never looks inside a record's body and never learns what a number means: apps translate meaning into
// constraints, and the kernel enforces constraints. arch_test.go fails when a package breaks that; testdata/arch.txt
// holds the lists, docs/architecture.md the reasons.
package icn
