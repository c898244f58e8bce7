package api

// Local is a small store of an app's own on this node: no record, never replicated, in no digest. It outlives a restart; after a power cut the
// last seconds may be missing. It is safe for concurrent use.
type Local interface {
	// Put sets a value. TooLarge: a key over 128 bytes, a value over 16 KiB, or more than 8,192 keys.
	Put(key string, value []byte) error
	// Delete removes a key; one that is not there is no error.
	Delete(key string) error
	// Each calls fn for every key that starts with prefix, in order, until fn returns false. The value is fn's to keep.
	Each(prefix string, fn func(key string, value []byte) bool) error
}

// LocalHost is a Host that has a Local. Every Host of the kernel is one; a test's may not be.
type LocalHost interface {
	Host
	Local() Local
}
