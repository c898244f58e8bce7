package keys

import (
	"fmt"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Record kinds: by members' devices, and by the registrar.
const (
	kindLog    = "log"    // the author's key event log; with an empty body, in the first record of a feed, that of its auth
	kindVeto   = "veto"   // the key in charge objects to a recovery
	kindStart  = "start"  // the registrar: a recovery has begun to wait
	kindStop   = "stop"   // the registrar: a recovery was vetoed
	kindFollow = "follow" // the registrar: the space follows a log
)

// maxVeto bounds the signature of a veto, which may be a hybrid one, in bytes.
const maxVeto = 8 << 10

// veto cites the log that has the recovery.
type veto struct {
	_         struct{} `cbor:",toarray"`
	Event     api.Hash // of the recovery
	Signature []byte   // record.Log.Veto
}

// ruling is the body of start and stop: the former cites the log and the witnesses that hold it final, the latter the veto.
type ruling struct {
	_     struct{} `cbor:",toarray"`
	DID   api.DID
	Event api.Hash // of the recovery
}

// follow cites the log and the witnesses that hold it final.
type follow struct {
	_    struct{} `cbor:",toarray"`
	DID  api.DID
	Head api.Hash // the newest rotation or recovery of the log
}

func (v *veto) check() error {
	if n := len(v.Signature); n == 0 || n > maxVeto {
		return fmt.Errorf("signature of %d bytes: want 1 to %d", n, maxVeto)
	}
	return nil
}

func (r *ruling) check() error {
	_, err := record.ParseDID(string(r.DID))
	return err
}

func (f *follow) check() error {
	_, err := record.ParseDID(string(f.DID))
	return err
}

func decode[T interface{ check() error }](b []byte, v T) error {
	if err := codec.Unmarshal(b, v); err != nil {
		return err
	}
	return v.check()
}
