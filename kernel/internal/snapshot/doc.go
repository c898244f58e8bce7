// Package snapshot is the archive of a node: every record that it holds, in the order in which it committed them, and the little beside them that
// records do not give again (which spaces it follows, whom it knows and bars, which requests have been served). It writes archives, reads them,
// and checks every signature and chain in them without a store.
//
// It is not the state: state is a function of the records and is folded again on restoring, which the digest in the header then confirms. It is not
// the store's rows either, so that an archive outlives the store's format. It does no I/O of its own and encrypts nothing: kernel/identity wraps the
// stream with age, so what stands below is what `age -d FILE | gunzip` prints.
//
//	frame   = kind (1) | length of payload (4, big-endian) | payload | digest (32)
//	digest  = SHA-256(digest of the frame before | kind | length | payload); before the first frame it is SHA-256("icn-snapshot 1")
//	archive = gzip( frame "H" , any number of frames "R" "M" "Q" , frame "E" ), and nothing behind
//
//	H  header, canonical CBOR
//	R  records: each a length (uvarint) and a signed envelope
//	M  named values: each two lengths with name and value
//	Q  served requests: each device, name, content (32 each), feed, seq, id (32, 8, 32)
//	E  totals, canonical CBOR
//
// Each digest covers all before it, so the last one is the digest of the whole. Memory is bounded by the frame when reading and writing, and by the
// number of feeds when checking.
package snapshot
