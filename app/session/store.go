package session

import (
	"bytes"
	"encoding/hex"
	"io"
	"slices"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Bounds of what is kept. A Local has 8,192 keys of 16 KiB; a session is one of them and takes 8 KiB at most.
const (
	maxSessions     = 8000
	maxSessionsEach = 32 // of a DID
	maxKept         = 8 << 10
)

// rowSession starts the keys of sessions in the Local.
const rowSession = "session/"

// id names a session.
type id [16]byte

func (i id) String() string { return hex.EncodeToString(i[:]) }

// session is a login of a device. What is in memory only comes last.
type session struct {
	kept
	grace grace
}

// kept is a session as it is stored.
type kept struct {
	_       struct{} `cbor:",toarray"`
	Version uint16
	ID      id
	Proof   proof
	Scopes  []string
	Within  api.Hash // the space it is bound to; zero for none
	Label   string
	Created int64 // Unix milliseconds, as all times
	Used    int64 // when it was last refreshed, or since this node started a request made
	Expires int64
	Number  uint64   // of the refresh token in force
	Sum     api.Hash // its SHA-256
}

// grace lets the refresh token before the one in force be shown again for a moment: the answer may have been lost, or two windows asked at once. They
// get the same token, so that there is never more than one in force.
type grace struct {
	sum   api.Hash // of the token before
	next  string   // the token in force
	until time.Time
}

// table is all sessions. The app's lock guards it.
type table struct {
	byID map[id]*session
	by   map[api.DID][]*session // in no order
}

func newTable() table { return table{byID: map[id]*session{}, by: map[api.DID][]*session{}} }

func (t *table) add(s *session) {
	t.byID[s.ID] = s
	t.by[s.Proof.DID] = append(t.by[s.Proof.DID], s)
}

func (t *table) remove(s *session) {
	delete(t.byID, s.ID)
	did := s.Proof.DID
	t.by[did] = slices.DeleteFunc(t.by[did], func(o *session) bool { return o == s })
	if len(t.by[did]) == 0 {
		delete(t.by, did)
	}
}

func (t *table) expired(now time.Time) (out []*session) {
	for _, s := range t.byID {
		if over(s.Expires, now) {
			out = append(out, s)
		}
	}
	return out
}

// surplus returns the session that has to go for another one of did, nil when there is room: the one unused for longest of the DID, or of the DID that has
// most.
func (t *table) surplus(did api.DID) *session {
	from := t.by[did]
	if len(from) < maxSessionsEach {
		if len(t.byID) < maxSessions {
			return nil
		}
		from = nil
		for _, ss := range t.by {
			if len(ss) > len(from) {
				from = ss
			}
		}
	}
	return slices.MinFunc(from, func(a, b *session) int {
		if a.Used != b.Used {
			return int(min(max(a.Used-b.Used, -1), 1))
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
}

// load reads the sessions from disk. What cannot be read is dropped: its holder logs in again. The caller holds the lock.
func (a *App) load(now time.Time) error {
	if a.disk == nil {
		return nil
	}
	var bad []string
	err := a.disk.Each(rowSession, func(key string, value []byte) bool {
		s := &session{}
		if codec.Unmarshal(value, &s.kept) != nil || s.Version != 1 || rowSession+s.ID.String() != key || over(s.Expires, now) || len(a.sessions.byID) == maxSessions {
			bad = append(bad, key)
			return true
		}
		if _, twice := a.sessions.byID[s.ID]; !twice { // Start may come again
			a.sessions.add(s)
		}
		return true
	})
	for _, key := range bad {
		if err == nil {
			err = a.disk.Delete(key)
		}
	}
	return api.Wrap("session.load", err)
}

// write puts a session on disk. The caller holds the lock.
func (a *App) write(s *session) error {
	if a.disk == nil {
		return nil
	}
	b := codec.MustMarshal(&s.kept)
	if len(b) > maxKept {
		return api.Errorf("session.write", api.TooLarge, "session of %d bytes: at most %d; ask for fewer scopes", len(b), maxKept)
	}
	return api.Wrap("session.write", a.disk.Put(rowSession+s.ID.String(), b))
}

// drop ends a session, in memory first. The caller holds the lock.
func (a *App) drop(s *session) error {
	a.sessions.remove(s)
	if a.disk == nil {
		return nil
	}
	return api.Wrap("session.drop", a.disk.Delete(rowSession+s.ID.String()))
}

// end ends a session, if there is one.
func (a *App) end(i id) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sessions.byID[i]; s != nil {
		return a.drop(s)
	}
	return nil
}

// all returns copies of the sessions.
func (a *App) all() []kept {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]kept, 0, len(a.sessions.byID))
	for _, s := range a.sessions.byID {
		out = append(out, s.kept)
	}
	return out
}

// begin makes a session, and its first refresh token. The caller holds the lock.
func (a *App) begin(k *keys, now time.Time, s *session) (refresh string, err error) {
	s.Version, s.Created, s.Used, s.Expires = 1, now.UnixMilli(), now.UnixMilli(), now.Add(a.opt.TTL).UnixMilli()
	if _, err := io.ReadFull(a.opt.Random, s.ID[:]); err != nil {
		return "", api.Wrap("session.begin", err)
	}
	if refresh, err = a.next(k, s); err != nil {
		return "", err
	}
	if err := a.write(s); err != nil {
		return "", err
	}
	for gone := a.sessions.surplus(s.Proof.DID); gone != nil; gone = a.sessions.surplus(s.Proof.DID) {
		if err := a.drop(gone); err != nil {
			return "", err
		}
	}
	a.sessions.add(s)
	return refresh, nil
}
