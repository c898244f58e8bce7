package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"io"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// refreshGrace is how long a refresh token may be shown again after it was used, to be answered with the very token that it was answered with: a lost
// answer, two windows of one browser. Whoever has stolen one gains nothing by it but what using it first would give them; the owner's next refresh ends it.
const refreshGrace = 5 * time.Second

// refreshPrefix lets programs that look for leaked secrets find one.
const refreshPrefix = "icnr_"

// refreshToken is a refresh token, taken apart. The secret part has 256 bits; the mark shows that this node has made it, so that one that was used long ago
// is told from one that somebody made up to end another's session.
type refreshToken struct {
	id     id
	number uint64
	secret [32]byte
}

const (
	refreshMark = 16
	refreshSize = 16 + 8 + 32 + refreshMark
)

func (t *refreshToken) bytes(k *keys) []byte {
	b := append(make([]byte, 0, refreshSize), t.id[:]...)
	b = append(binary.BigEndian.AppendUint64(b, t.number), t.secret[:]...)
	return append(b, mac(k.refresh, b)[:refreshMark]...)
}

func (t *refreshToken) text(k *keys) string {
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(t.bytes(k))
}

func (t *refreshToken) sum() api.Hash { return sha256.Sum256(t.secret[:]) }

// parseRefresh reads a token that this node has made.
func parseRefresh(k *keys, s string) (t refreshToken, ok bool) {
	s, ok = strings.CutPrefix(s, refreshPrefix)
	if !ok || len(s) != base64.RawURLEncoding.EncodedLen(refreshSize) {
		return t, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != refreshSize {
		return t, false
	}
	t = refreshToken{id: id(b[:16]), number: binary.BigEndian.Uint64(b[16:24]), secret: [32]byte(b[24:56])}
	return t, hmac.Equal(b, t.bytes(k))
}

// next makes the session's next refresh token and puts it in force.
func (a *App) next(k *keys, s *session) (string, error) {
	t := refreshToken{id: s.ID, number: s.Number + 1}
	if _, err := io.ReadFull(a.opt.Random, t.secret[:]); err != nil {
		return "", api.Wrap("session.refresh", err)
	}
	s.Number, s.Sum = t.number, t.sum()
	return t.text(k), nil
}

// verdict is what a refresh token is worth.
type verdict uint8

const (
	unknown verdict = iota // its session is over
	good                   // it is the one in force
	again                  // it was in force a moment ago
	reused                 // it was used before: somebody has a copy
)

// weigh says what a token is worth. The caller holds the lock.
func (a *App) weigh(t *refreshToken, now time.Time) (*session, verdict) {
	s := a.sessions.byID[t.id]
	if s == nil || over(s.Expires, now) {
		return nil, unknown
	}
	sum := t.sum()
	switch {
	case t.number == s.Number && subtle.ConstantTimeCompare(sum[:], s.Sum[:]) == 1:
		return s, good
	case t.number+1 == s.Number && now.Before(s.grace.until) && subtle.ConstantTimeCompare(sum[:], s.grace.sum[:]) == 1:
		return s, again
	}
	return s, reused // this node has made it, and it is in force no more; or the disk has lost that it is
}

// rotate answers a refresh token with the next one. It returns a copy of the session.
func (a *App) rotate(op string, k *keys, host api.Host, text string) (kept, string, error) {
	over := denied(op, api.Unauthenticated, "session-over", "this refresh token is not in force: its session has ended or has moved on")
	t, ok := parseRefresh(k, text)
	if !ok {
		return kept{}, "", over
	}
	// A look at the space takes its time: it is done without the lock, and before anything changes.
	a.mu.Lock()
	now := host.Now()
	s, v := a.weigh(&t, now)
	if v == reused {
		defer a.mu.Unlock()
		host.Log().Warn("a refresh token was shown twice: its session ends", "did", s.Proof.DID, "device", s.Proof.Device)
		if err := a.drop(s); err != nil {
			return kept{}, "", err
		}
		return kept{}, "", over
	}
	if v == unknown {
		a.mu.Unlock()
		return kept{}, "", over
	}
	was := s.kept
	a.mu.Unlock()

	r := host.Read()
	why := a.standing(host, r, &was.Proof, was.Within, true)
	r.Close()
	if why != nil {
		if err := a.end(was.ID); err != nil {
			return kept{}, "", err
		}
		return kept{}, "", api.Refusal(op, why)
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	now = host.Now()
	switch s, v = a.weigh(&t, now); v {
	case good:
	case again:
		return s.kept, s.grace.next, nil
	default: // it was ended, or used twice more, meanwhile
		return kept{}, "", over
	}
	before := s.kept
	text, err := a.next(k, s)
	if err == nil {
		s.Used, s.Expires = now.UnixMilli(), now.Add(a.opt.TTL).UnixMilli()
		err = a.write(s)
	}
	if err != nil {
		s.kept = before
		return kept{}, "", err
	}
	s.grace = grace{sum: before.Sum, next: text, until: now.Add(refreshGrace)}
	return s.kept, text, nil
}
