package record

import (
	"bytes"
	"slices"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

const (
	recoveryTag = "icn-key-recovery"
	vetoTag     = "icn-recovery-veto\x00"
	// maxRecovery bounds a request, in bytes: a log and one event more.
	maxRecovery = MaxAuth + 16<<10
)

// RecoveryRequest asks the guardians of a DID to put a new key in charge: it goes to each of them, each answers with Approve, and Complete makes
// the longer log of enough answers. It is verified but for the approvals. Whether the person who asks is the one whom they know, guardians find
// out before they answer: by a call, not by this request.
type RecoveryRequest struct {
	Log   *Log  // as the requester knows it; a guardian compares it with what else is known
	Event Event // what will stand at its end

	signed signedForm // without approvals
	after  *Log       // the outcome but for its proof
}

type recoveryForm struct {
	_         struct{} `cbor:",toarray"`
	Tag       string
	Log       []byte
	Event     []byte
	Signature []byte
}

// RequestRecovery drafts the recovery that puts k in charge on new terms; k signs, so that nobody is put in charge of what they cannot sign for.
func (l *Log) RequestRecovery(k ControlKey, t Terms, add []Device, remove []api.Key) (*RecoveryRequest, error) {
	s, err := l.draft(&Event{Kind: Recovery, Control: k.Public(), Terms: t, Add: add, Remove: remove}, k)
	if err != nil {
		return nil, err
	}
	return l.request(s)
}

func (l *Log) request(s *signedForm) (*RecoveryRequest, error) {
	e, err := parseEvent(s.Event)
	if err != nil {
		return nil, err
	}
	if e.Kind != Recovery {
		return nil, badLog("a %s, not a recovery", e.Kind)
	}
	after := l.clone()
	if err := after.next(&e); err != nil {
		return nil, err
	}
	if err := after.signedBy(s, &budget{}); err != nil {
		return nil, err
	}
	return &RecoveryRequest{Log: l, Event: e, signed: *s, after: after}, nil
}

// ParseRecovery reads a request as Bytes writes it and verifies all of it: the log, that the event may follow, the new key's signature.
func ParseRecovery(b []byte) (*RecoveryRequest, error) {
	if len(b) > maxRecovery {
		return nil, badLog("request of %d bytes: at most %d", len(b), maxRecovery)
	}
	var f recoveryForm
	if err := codec.Unmarshal(b, &f); err != nil {
		return nil, badLog("%w", err)
	}
	if f.Tag != recoveryTag {
		return nil, badLog("tag %q: want %q", clip(f.Tag), recoveryTag)
	}
	l, err := ParseLog(f.Log)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(l.Bytes(), f.Log) {
		return nil, badLog("the log in a request names no device") // one request, one encoding
	}
	return l.request(&signedForm{Event: f.Event, Signature: f.Signature})
}

// Bytes returns the encoded request.
func (r *RecoveryRequest) Bytes() []byte {
	return codec.MustMarshal(&recoveryForm{Tag: recoveryTag, Log: r.Log.Bytes(), Event: r.signed.Event, Signature: r.signed.Signature})
}

// Devices returns the devices that may sign after the recovery, ascending by key.
func (r *RecoveryRequest) Devices() []Device { return r.after.devices }

// Approve is a guardian's answer: its device's signature over the event, with the salt and the Auth that show whose it is. Who is no guardian of the
// DID by that salt gets api.Refused.
func (r *RecoveryRequest) Approve(salt Salt, s api.Signer) ([]byte, error) {
	const op = "recovery.approve"
	if g := r.Log.terms.Guardians; s.DID() == r.Log.DID() || !slices.Contains(g.Commitments, GuardianCommitment(salt, s.DID())) {
		return nil, api.Errorf(op, api.Refused, "%s is no guardian of %s by this salt", s.DID(), r.Log.DID())
	}
	sig, err := s.Sign(approvalWords(r.signed.Event))
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	a := approvalForm{Salt: salt[:], Auth: s.Auth(), Signature: sig}
	if len(a.Auth) > maxGuardianAuth {
		return nil, api.Errorf(op, api.TooLarge, "auth of %d bytes: at most %d", len(a.Auth), maxGuardianAuth)
	}
	return codec.Marshal(&a)
}

// Complete returns the log that the recovery makes, of as many of the approvals as are needed. An approval that does not verify is an error that says
// which; too few of different guardians are api.Refused.
func (r *RecoveryRequest) Complete(approvals ...[]byte) (*Log, error) {
	const op = "recovery.complete"
	if len(approvals) > MaxGuardians {
		return nil, api.Errorf(op, api.TooLarge, "%d approvals: at most %d", len(approvals), MaxGuardians)
	}
	g := &r.Log.terms.Guardians
	byWho := map[api.Hash]approvalForm{}
	names := map[api.DID]bool{}
	for i, b := range approvals {
		var a approvalForm
		if err := codec.Unmarshal(b, &a); err != nil {
			return nil, api.Errorf(op, api.Invalid, "approval %d: %w", i+1, err)
		}
		who, name, err := g.approval(r.Log.DID(), &a, r.signed.Event, &budget{})
		if err != nil {
			return nil, api.Errorf(op, api.Invalid, "approval %d: %w", i+1, err)
		}
		if !names[name] {
			names[name], byWho[who] = true, a
		}
	}
	if len(byWho) < int(g.Threshold) {
		return nil, api.Errorf(op, api.Refused, "%d guardians have approved: %d are needed", len(byWho), g.Threshold)
	}
	whos := make([]api.Hash, 0, len(byWho))
	for who := range byWho {
		whos = append(whos, who)
	}
	slices.SortFunc(whos, api.Hash.Compare)
	s := r.signed
	for _, who := range whos[:g.Threshold] {
		s.Approvals = append(s.Approvals, byWho[who])
	}
	return r.Log.with(&s)
}

// Veto is the objection of the key in charge of l, k, to a recovery of its DID, which is named by the id of its event: whoever still has that key has
// not lost it. Another key gets api.Refused.
func (l *Log) Veto(k ControlKey, recovery api.Hash) ([]byte, error) {
	const op = "recovery.veto"
	if got := k.Public().Key; got != l.control.Key {
		return nil, api.Errorf(op, api.Refused, "the key %s is not in charge of %s", got, l.DID())
	}
	sig, err := k.sign(vetoWords(recovery))
	return sig, api.Wrap(op, err)
}

// CheckVeto verifies a veto of a recovery that l has among its events: by the key that was in charge before it. An event that is no recovery of l is
// api.NotFound, a veto that does not verify api.Invalid.
func (l *Log) CheckVeto(recovery api.Hash, veto []byte) error {
	const op = "recovery.veto"
	i := slices.IndexFunc(l.events, func(e Event) bool { return e.ID == recovery && e.Kind == Recovery })
	if i < 1 {
		return api.Errorf(op, api.NotFound, "the log of %s has no recovery %s", l.DID(), recovery)
	}
	before, err := l.Prefix(i)
	if err != nil {
		return err
	}
	if err := before.signedBy(&signedForm{Event: vetoWords(recovery), Signature: veto}, &budget{}); err != nil {
		return api.Errorf(op, api.Invalid, "%w", err)
	}
	return nil
}

// vetoWords is what a veto signs.
func vetoWords(recovery api.Hash) []byte { return append([]byte(vetoTag), recovery[:]...) }
