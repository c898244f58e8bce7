package api

import "iter"

// Blobs keeps bytes that records name by their hash, the BLAKE3 digest: images. Nodes that follow a space fetch what its records name.
type Blobs interface {
	// Stat tells what is known of a blob on this node.
	Stat(blob Hash) (BlobInfo, bool)
}

// BlobInfo is what is known of a blob.
type BlobInfo struct {
	Size  int64
	Type  string // image/jpeg, image/png or image/webp by its first bytes; else application/octet-stream
	Owner DID
}

// BlobHost is a Host that keeps blobs. Every Host of the kernel is one; a test's may not be.
type BlobHost interface {
	Host
	Blobs() Blobs
}

// BlobCiter is an app whose records name blobs. Cited goes through those that the records with effect name in a space now, each with who named it. The kernel
// keeps and fetches these, shows them to whom the space is open, and forgets others. It is called every few seconds and must not take long.
type BlobCiter interface {
	App
	Cited(space Hash) iter.Seq2[Hash, DID]
}

// Content is an output that is a file: an edge that can serves it as that instead of as JSON.
type Content interface {
	// Content returns the file's media type, a name to save it under, "" when it is to be shown in place, and its bytes.
	Content() (mediaType, name string, body []byte)
}
