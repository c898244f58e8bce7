// Package obs is how a node is observed: structured logs, metrics and the HTTP server that answers health checks and scrapes.
//
// It is not a list of metrics: each package names its own, `icn_<area>_<what>` in snake case with the unit last
// (icn_ingest_batch_seconds, icn_store_bytes) and _total on counters. The names known from the seeds keep their words behind the
// prefix: supervisor_state is icn_supervisor_state, gossip_entries_total is icn_gossip_entries_total, ledger_balance_sum is
// icn_ledger_balance_sum, network_sessions_active is icn_network_sessions_active.
//
// Begin with NewLogger and NewRegistry, one of each per node: nothing here is global, so that fifty nodes fit in one process. The
// package is the only home of the Prometheus client and knows nothing of ICN. Everything is safe for concurrent use.
package obs
