package ledger

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
)

// maxUnsound bounds what ledger.verify lists.
const maxUnsound = 100

// VerifyIn is the input of ledger.verify.
type VerifyIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
}

// VerifyOut is the output of ledger.verify.
type VerifyOut struct {
	OK         bool         `json:"ok"`
	Currencies []CurrencyOK `json:"currencies"`
	Problems   []string     `json:"problems"` // at most 100
}

// CurrencyOK sums up one currency. Sum is 0 when the books balance.
type CurrencyOK struct {
	Currency string `json:"currency"`
	Accounts int    `json:"accounts"` // whose balance is not zero
	Sum      int64  `json:"sum"`
}

// verify checks the two invariants over all of a space's state: balances sum to zero, and each is the sum of its history. It reads every payment
// and holds one number per account.
func (a *App) verify(ctx context.Context, _ *api.Call, in *VerifyIn) (*VerifyOut, error) {
	const op = "ledger.verify"
	_, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &VerifyOut{Currencies: []CurrencyOK{}, Problems: []string{}}
	problem := func(format string, args ...any) {
		if len(out.Problems) < maxUnsound {
			out.Problems = append(out.Problems, fmt.Sprintf(format, args...))
		}
	}
	type account struct {
		code string
		did  api.DID
	}
	history := map[account]int64{}
	for k, v := range r.Index(spaceKey(nil, indexHistory, s.ID), nil, false) {
		if err := ctx.Err(); err != nil {
			return nil, api.Wrap(op, err)
		}
		did, _, _, ok := splitHistory(k)
		if !ok {
			problem("a history row has a damaged key: %x", k)
			continue
		}
		e := get[entry](v, true)
		history[account{e.Code, did}] += e.Delta
	}
	sums := map[string]*CurrencyOK{}
	for _, code := range s.Genesis.Currencies {
		out.Currencies = append(out.Currencies, CurrencyOK{Currency: code})
	}
	for i := range out.Currencies {
		sums[out.Currencies[i].Currency] = &out.Currencies[i]
	}
	prefix := spaceKey(nil, counterBalance, s.ID)
	for k, n := range r.Counters(prefix) {
		code, did, ok := bytes.Cut(k[len(prefix):], []byte{'/'})
		c := sums[string(code)]
		if !ok || c == nil {
			problem("a balance is of no currency of the space: %q", k[len(prefix):])
			continue
		}
		c.Accounts++
		c.Sum += n
		key := account{string(code), api.DID(did)}
		if history[key] != n {
			problem("%s %s: the balance is %d, its history sums to %d", did, code, n, history[key])
		}
		delete(history, key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(history), func(a, b account) int {
		return bytes.Compare([]byte(a.code+"/"+string(a.did)), []byte(b.code+"/"+string(b.did)))
	}) {
		if n := history[key]; n != 0 {
			problem("%s %s: the balance is 0, its history sums to %d", key.did, key.code, n)
		}
	}
	for _, c := range out.Currencies {
		if c.Sum != 0 {
			problem("%s: the balances sum to %d, not 0", c.Currency, c.Sum)
		}
	}
	out.OK = len(out.Problems) == 0
	return out, nil
}
