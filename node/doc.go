// Package node is the composition root: it makes a running node out of a configuration, and is the only place that knows the kernel, the apps
// and the edges together. The commands know it, and nothing else does.
//
// Run serves until its context ends. Operations returns the table of a node without running one, for generators. Configuration is in node/config.
package node
