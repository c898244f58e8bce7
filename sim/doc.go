// Package sim runs whole co-ops in one process: nodes with all apps, a workload of payments, grants, attestations, joins and forgetful or
// dishonest machines, and checks that hold whatever happens. One seed is one history, event for event.
//
// It is made of kerneltest's Cluster, which knows kernels, networks and disks, and of what knows apps: the workload (workload.go) and the checks
// (check.go). World joins them. The tests run some seeds and replay those kept in testdata/seeds; `make sim` runs as many as one likes; the
// scripts in testdata/script are the scenarios that the design must survive, each by its name.
//
// It may use kernel/kerneltest, the apps and their inputs and outputs. It is not for production and reaches into no kernel/internal.
package sim
