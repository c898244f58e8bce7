// Package identity holds the keys that a node and its owner sign with, and keeps them in an encrypted file. It is not the road of a
// record (the kernel is) and not the format of what is signed (kernel/record is); it knows no app.
//
// An Identity has a key event log (kernel/record), whose root key is the DID, and the keys of this machine: the device key signs records; the node key
// names the machine to its peers and belongs to the node, not to the person. One device of a person also holds the key in charge, which adds and removes
// devices.
//
// The next key to be in charge is in no file. It derives from the recovery phrase, 24 words that TakePhrase gives once, when the Identity is made. With
// them Rotate takes the DID back from a thief of everything else, and Restore replaces lost devices. Split makes of the phrase shares for friends; or the
// log names guardians, who together put a new key in charge (AskGuardians).
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
