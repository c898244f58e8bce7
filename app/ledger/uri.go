package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// A payment link is text for a QR code, a web page or a message: who is to be paid, where and how much. It is docs/protocol.md 4.17.10.

const (
	uriScheme   = "icn:pay?"
	maxURI      = 2048 // bytes
	uriSumBytes = 4    // of SHA-256
)

// link is what a payment link says.
type link struct {
	to       api.DID
	space    api.Hash
	currency string
	amount   int64 // minor units; 0: the payer says
	memo     string
	request  api.Hash // zero: none
}

// String writes the link with its checksum.
func (l *link) String() string {
	var b strings.Builder
	b.WriteString(uriScheme)
	add := func(key, value string) {
		if value == "" {
			return
		}
		if b.Len() > len(uriScheme) {
			b.WriteByte('&')
		}
		b.WriteString(key + "=" + strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
	}
	add("to", string(l.to))
	add("space", l.space.String())
	add("currency", l.currency)
	if l.amount > 0 {
		add("amount", strconv.FormatInt(l.amount, 10))
	}
	add("memo", l.memo)
	if !l.request.IsZero() {
		add("request", l.request.String())
	}
	return b.String() + "&c=" + uriSum(b.String())
}

func uriSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:uriSumBytes])
}

// parseLink reads a payment link.
func parseLink(text string) (l link, err error) {
	rest, ok := strings.CutPrefix(text, uriScheme)
	switch {
	case len(text) > maxURI:
		return l, fmt.Errorf("uri of %d bytes: at most %d", len(text), maxURI)
	case !ok:
		return l, fmt.Errorf("uri %q: want a text that begins with %s", clip(text), uriScheme)
	}
	i := strings.LastIndex(text, "&c=")
	if i < 0 || text[i+len("&c="):] != uriSum(text[:i]) {
		return l, errors.New("uri: the checksum is missing or wrong: a part of it was lost or changed on the way; copy or scan it again")
	}
	rest = rest[:i-len(uriScheme)]
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(rest, "&") {
		key, raw, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(raw)
		if err != nil || seen[key] {
			return l, fmt.Errorf("uri: %s: not well-formed, or there twice", clip(key))
		}
		seen[key] = true
		if err := l.set(key, value); err != nil {
			return l, fmt.Errorf("uri: %w", err)
		}
	}
	return l, l.check()
}

func (l *link) set(key, value string) (err error) {
	switch key {
	case "to":
		l.to = api.DID(value)
	case "space":
		l.space, err = api.ParseHash(value)
	case "currency":
		l.currency = value
	case "amount":
		if l.amount, err = strconv.ParseInt(value, 10, 64); err != nil || l.amount <= 0 || value != strconv.FormatInt(l.amount, 10) {
			err = fmt.Errorf("amount %q: want minor units, more than 0", clip(value))
		}
	case "memo":
		if l.memo = value; !utf8.ValidString(value) {
			err = errors.New("memo: want UTF-8")
		}
	case "request":
		l.request, err = api.ParseHash(value)
	default:
		err = fmt.Errorf("%s: not known to this version", clip(key))
	}
	return err
}

func (l *link) check() error {
	if err := checkDID("to", l.to); err != nil {
		return err
	}
	if l.space.IsZero() {
		return errors.New("space: missing")
	}
	return checkPayment(l.to, l.currency, max(1, l.amount), l.memo, "")
}

// URIIn is the input of ledger.uri.make.
type URIIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	To       api.DID  `json:"to,omitempty" doc:"DID of who is to be paid; default: you"`
	Currency string   `json:"currency" doc:"Code of the currency" example:"hours"`
	Amount   int64    `json:"amount,omitempty" doc:"Minor units; default: the payer says how much" example:"150"`
	Memo     string   `json:"memo,omitempty" doc:"What it is for, at most 256 bytes, one line"`
	Request  api.Hash `json:"request,omitzero" doc:"Id of a request that is paid by it"`
}

// Validate implements api.Validator.
func (in *URIIn) Validate() error {
	if in.To != "" {
		if err := checkDID("to", in.To); err != nil {
			return err
		}
	}
	if in.Amount < 0 {
		return fmt.Errorf("amount %d: want more than 0, or nothing", in.Amount)
	}
	return checkPayment(in.To, in.Currency, max(1, in.Amount), in.Memo, "")
}

// URIOut is the output of ledger.uri.make.
type URIOut struct {
	URI string `json:"uri"`
}

func (a *App) makeURI(_ context.Context, call *api.Call, in *URIIn) (*URIOut, error) {
	const op = "ledger.uri.make"
	_, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := checkCurrency(op, s, in.Currency); err != nil {
		return nil, err
	}
	l := link{to: in.To, space: s.ID, currency: in.Currency, amount: in.Amount, memo: in.Memo, request: in.Request}
	if l.to == "" {
		l.to = call.Actor
	}
	if _, _, ok := s.Member(l.to); !ok {
		return nil, api.Refusal(op, stranger(s, l.to))
	}
	return &URIOut{URI: l.String()}, nil
}

// ReadURIIn is the input of ledger.uri.read.
type ReadURIIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space in which you mean to pay; default: the only one this node follows"`
	URI   string   `json:"uri" doc:"The text, which begins with icn:pay?" example:"icn:pay?to=did%3Aicn%3A3TdvKpPtV41WGSzdzW7vYRxcu7TDrQQyP2UWLXxtALuq&space=0100000000000000000000000000000000000000000000000000000000000000&currency=hours&amount=150&c=66dea3ac"`
}

// Validate implements api.Validator.
func (in *ReadURIIn) Validate() error {
	_, err := parseLink(in.URI)
	return err
}

// ReadURIOut is the output of ledger.uri.read: what the link asks for, of somebody who is a member.
type ReadURIOut struct {
	Space    api.Hash `json:"space"`
	Name     string   `json:"name" doc:"of the space"`
	To       api.DID  `json:"to"`
	Currency string   `json:"currency"`
	Scale    int      `json:"scale"`
	Amount   int64    `json:"amount,omitempty" doc:"minor units; none: the payer says how much"`
	Memo     string   `json:"memo,omitempty"`
	Request  api.Hash `json:"request,omitzero" doc:"pay it by ledger.approve"`
}

func (a *App) readURI(_ context.Context, _ *api.Call, in *ReadURIIn) (*ReadURIOut, error) {
	const op = "ledger.uri.read"
	l, err := parseLink(in.URI)
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	_, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if l.space != s.ID {
		return nil, api.Errorf(op, api.Conflict, "uri: it is for another space, %s, not for %s; name that one, or join it first", l.space, s.Genesis.Name)
	}
	if err := checkCurrency(op, s, l.currency); err != nil {
		return nil, err
	}
	if _, _, ok := s.Member(l.to); !ok {
		return nil, api.Refusal(op, stranger(s, l.to))
	}
	return l.show(s), nil
}

func (l *link) show(s *fact.Space) *ReadURIOut {
	c, _ := s.Currency(l.currency)
	return &ReadURIOut{
		Space: s.ID, Name: s.Genesis.Name, To: l.to, Currency: l.currency, Scale: int(c.Scale), Amount: l.amount, Memo: l.memo, Request: l.request,
	}
}
