// Package identity holds the keys that a node and its owner sign with, and keeps them in an encrypted file. It is not the road of a
// record (the kernel is) and not the format of what is signed (kernel/record is); it knows no app.
//
// An Identity has three keys. The root key is the DID: it certifies devices and signs nothing else. The device key signs records. The
// node key names the machine to its peers; it belongs to the node, not to the person.
//
// Start with Create, which makes an Identity and its keystore file, or Open, which reads it back. Passphrases come from a PassphraseSource.
// The file is an ordinary age file encrypted to a passphrase: whoever has it and the passphrase reads it with the stock tool,
//
//	age -d keystore.age
//
// whatever becomes of this program. A lost passphrase cannot be recovered.
//
// Secrets are wiped from memory where Go lets one, after use and on Close: that is best effort, the runtime may have copied them. They
// stand in no error and no log.
package identity
