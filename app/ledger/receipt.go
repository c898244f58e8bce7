package ledger

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// A receipt is a text that people can read and print, and below it, in base64, what proves it: the record that founds the space, a certificate of its
// witnesses for the state of a checkpoint, and a row of that state, which is a side of a payment, with its signed record, or a balance. The text follows
// from the proof, and there is one way to write both: whoever checks a receipt writes it anew and compares each byte.

const (
	receiptFormat = 1
	receiptBegin  = "-----BEGIN ICN RECEIPT-----\n"
	receiptEnd    = "-----END ICN RECEIPT-----\n"
	receiptLine   = 64

	// maxReceipt bounds a receipt, in bytes.
	maxReceipt = 8 << 20
)

// proof is what a receipt proves. Of a payment there are Record and Auth, of a balance Currency.
type proof struct {
	_           struct{} `cbor:",toarray"`
	Format      uint16
	Founding    []byte // envelope of the record that founds the space
	Certificate []byte // fact.Attest
	Account     api.DID
	Record      []byte // envelope
	Auth        []byte // certifies the record's device, where the record does not do so itself
	Leg         uint8
	Currency    string
	Row         shownRow
}

// shownRow is a row of the ledger's state; its key follows from what it is to show.
type shownRow struct {
	_     struct{} `cbor:",toarray"`
	Value []byte
	Place uint64
	Rows  uint64
	Path  []api.Hash
}

func (s *shownRow) proves(row api.StateRow) api.RowProof {
	return api.RowProof{StateRow: row, Value: s.Value, Place: s.Place, Rows: s.Rows, Path: s.Path}
}

// movementRow is the row of an account about a leg of a record.
func movementRow(account api.DID, rec *api.Record, leg int) api.StateRow {
	return api.StateRow{App: "ledger", Class: api.IndexRow, Key: historyKey(nil, account, rec, leg)}
}

// balanceRow is the row of an account's balance. An account that has nothing has none.
func balanceRow(space api.Hash, account api.DID, code string) api.StateRow {
	return api.StateRow{App: "ledger", Class: api.CounterRow, Key: balanceKey(nil, space, code, account)}
}

// Proven is what a receipt was found to prove.
type Proven struct {
	Space      api.Hash       `json:"space"`
	Name       string         `json:"name" doc:"of the space"`
	Account    api.DID        `json:"account"`
	Payment    *ProvenPayment `json:"payment,omitempty" doc:"none in a receipt for a balance"`
	Currency   string         `json:"currency"`
	Scale      int            `json:"scale"`
	Amount     int64          `json:"amount" doc:"of the payment, or the balance; minor units"`
	Checkpoint fact.Attested  `json:"checkpoint"`
}

// ProvenPayment is what a receipt says of a payment.
type ProvenPayment struct {
	ID       api.Hash  `json:"id"`
	Leg      int       `json:"leg" doc:"which payment of the record, from 0"`
	Time     time.Time `json:"time" doc:"by the payer's clock"`
	From     api.DID   `json:"from"`
	To       api.DID   `json:"to"`
	Memo     string    `json:"memo"`
	Category string    `json:"category,omitempty"`
	By       api.DID   `json:"by" doc:"whose device has signed the record"`
	Device   api.Key   `json:"device"`
}

// Text is the part of a receipt that people read.
func (p *Proven) Text() string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name, value)
		}
	}
	amount := decimals(strconv.FormatInt(p.Amount, 10), uint8(p.Scale)) + " " + p.Currency
	c := &p.Checkpoint
	if m := p.Payment; m != nil {
		b.WriteString("RECEIPT FOR A PAYMENT\n\n")
		line("amount", amount)
		line("from", string(m.From))
		line("to", string(m.To))
		line("time", m.Time.UTC().Format(time.RFC3339)+" by the payer's clock")
		line("memo", quoted(m.Memo))
		line("category", m.Category)
		line("payment", m.ID.String()+", leg "+strconv.Itoa(m.Leg))
		line("signed by", string(m.By))
		line("device", m.Device.String())
	} else {
		b.WriteString("BALANCE OF AN ACCOUNT\n\n")
		line("account", string(p.Account))
		line("balance", amount)
	}
	b.WriteByte('\n')
	line("space", quoted(p.Name))
	line("space id", p.Space.String())
	line("checkpoint", fmt.Sprintf("%d of %s, %d records", c.Number, c.Time.UTC().Format(time.RFC3339), c.Records))
	line("state", c.Digest.String())
	line("witnesses", fmt.Sprintf("%d of %d have signed it:", len(c.Signed), c.Of))
	for _, w := range c.Signed {
		fmt.Fprintf(&b, "%-12s %s\n", "", w)
	}
	if p.Payment != nil {
		b.WriteString("\nThe payment is in the record of the space and final. ")
	} else {
		b.WriteString("\nThe account had this balance in the state of that checkpoint. ")
	}
	b.WriteString("Check it without a network: icnctl ledger receipt verify FILE\nIt holds for the space with that id: know from elsewhere that it is the one you mean.\n\n")
	return b.String()
}

// quoted is a text of somebody's on one line. A memo has no control characters; other invisible ones are spelt out.
func quoted(s string) string {
	if s == "" {
		return ""
	}
	return strconv.QuoteToGraphic(s)
}

// file is a receipt as a whole.
func (p *proof) file(text string) []byte {
	var b bytes.Buffer
	b.WriteString(text)
	b.WriteString(receiptBegin)
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(codec.MustMarshal(p))), receiptLine) {
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteString(receiptEnd)
	return b.Bytes()
}

func badReceipt(format string, args ...any) error {
	return api.Errorf("receipt.verify", api.Invalid, "%w", fmt.Errorf(format, args...))
}

// parseReceipt reads the proof of a receipt.
func parseReceipt(b []byte) (*proof, error) {
	if len(b) > maxReceipt {
		return nil, badReceipt("%d bytes or more: at most %d", len(b), maxReceipt)
	}
	_, rest, ok := bytes.Cut(b, []byte(receiptBegin))
	if !ok {
		return nil, badReceipt("this is no receipt: there is no line %q", strings.TrimSpace(receiptBegin))
	}
	text, _, ok := bytes.Cut(rest, []byte(receiptEnd))
	if !ok {
		return nil, badReceipt("the file is cut off: there is no line %q", strings.TrimSpace(receiptEnd))
	}
	raw, err := base64.StdEncoding.DecodeString(string(bytes.ReplaceAll(text, []byte{'\n'}, nil)))
	if err != nil {
		return nil, badReceipt("the proof: %w", err)
	}
	var p proof
	if err := codec.Unmarshal(raw, &p); err != nil {
		return nil, badReceipt("the proof: %w", err)
	}
	if p.Format != receiptFormat {
		return nil, api.Errorf("receipt.verify", api.Unsupported, "format %d, this build reads %d", p.Format, receiptFormat)
	}
	return &p, nil
}

// compareReceipt names the first line in which a receipt is not what it has to be.
func compareReceipt(got, want []byte) error {
	line := 1
	for {
		g, restG, moreG := bytes.Cut(got, []byte{'\n'})
		w, restW, moreW := bytes.Cut(want, []byte{'\n'})
		if !bytes.Equal(g, w) || moreG != moreW {
			return badReceipt("line %d: found %q, want %q", line, clip(string(g)), clip(string(w)))
		}
		if !moreG {
			return nil
		}
		got, want, line = restG, restW, line+1
	}
}
