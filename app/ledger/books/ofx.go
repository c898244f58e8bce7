package books

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"
)

// Sizes of elements of OFX, in characters. Source: OFX 2.2, 11.3.1 and 11.4.4.
const (
	ofxName = 32
	ofxMemo = 255
)

// markup escapes what XML takes for its own.
var markup = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// writeOFX writes a statement for each account and currency, as OFX 2.2. Units of account of a co-operative have no code of ISO 4217; XXX, "no currency",
// stands for them, and the account's id ends in the code that they have here.
func writeOFX(o *output, b *Book) (*Totals, error) {
	o.printf("%s\n%s\n", `<?xml version="1.0" encoding="UTF-8" standalone="no"?>`,
		`<?OFX OFXHEADER="200" VERSION="220" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>`)
	at := ofxTime(b.To)
	o.printf("<OFX>\n<SIGNONMSGSRSV1><SONRS><STATUS><CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS><DTSERVER>%s</DTSERVER><LANGUAGE>ENG</LANGUAGE>"+
		"<FI><ORG>%s</ORG><FID>%s</FID></FI></SONRS></SIGNONMSGSRSV1>\n<BANKMSGSRSV1>\n", at, xml(b.Name, ofxName), bank(b.Space))
	sum := b.NewTotals()
	n := 0
	for s, err := range b.Sections {
		if err != nil {
			return nil, err
		}
		for i, c := range b.Currencies {
			// A statement holds one currency, so the rows are walked once for each; the totals take the first walk only.
			t := b.NewTotals()
			if i == 0 {
				t = sum
			}
			n++
			from := b.From
			if from.IsZero() {
				from = time.Unix(0, 0)
			}
			o.printf("<STMTTRNRS><TRNUID>%d</TRNUID><STATUS><CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS><STMTRS><CURDEF>XXX</CURDEF>"+
				"<BANKACCTFROM><BANKID>%s</BANKID><ACCTID>%s</ACCTID><ACCTTYPE>CHECKING</ACCTTYPE></BANKACCTFROM>\n"+
				"<BANKTRANLIST><DTSTART>%s</DTSTART><DTEND>%s</DTEND>\n", n, bank(b.Space), ofxAccount(s.Account, c.Code), ofxTime(from), at)
			err := b.Walk(s, t, func(r *Row, j int) error {
				if i == j {
					ofxRow(o, r, c)
				}
				return o.err
			})
			if err != nil {
				return nil, err
			}
			o.printf("</BANKTRANLIST><LEDGERBAL><BALAMT>%s</BALAMT><DTASOF>%s</DTASOF></LEDGERBAL></STMTRS></STMTTRNRS>\n", Decimal(t.Closing[i], c.Scale), at)
		}
	}
	o.printf("</BANKMSGSRSV1>\n</OFX>\n")
	return sum, o.err
}

func ofxRow(o *output, r *Row, c Currency) {
	kind := "CREDIT"
	if r.Amount < 0 {
		kind = "DEBIT"
	}
	memo := r.Memo
	if r.Category != "" {
		memo += " [" + r.Category + "]"
	}
	if !r.Final {
		memo += " (not final)"
	}
	o.printf("<STMTTRN><TRNTYPE>%s</TRNTYPE><DTPOSTED>%s</DTPOSTED><TRNAMT>%s</TRNAMT><FITID>%s</FITID><NAME>%s</NAME>", kind, ofxTime(r.Time),
		Decimal(r.Amount, c.Scale), r.Ref(), ofxPayee(r))
	if memo = strings.TrimSpace(memo); memo != "" {
		o.printf("<MEMO>%s</MEMO>", xml(memo, ofxMemo))
	}
	o.printf("</STMTTRN>\n")
}

// ofxPayee keeps the end of the account, which identifies, and shortens the name.
func ofxPayee(r *Row) string {
	label := Label(r.CounterName, r.Counter)
	if utf8.RuneCountInString(label) <= ofxName {
		return xml(label, ofxName)
	}
	tail := Label("", r.Counter)
	if n := utf8.RuneCountInString(tail); n < ofxName-1 {
		return xml(clip(r.CounterName, ofxName-1-n)+" "+tail, ofxName)
	}
	return xml(label, ofxName)
}

// bank is the id of a space as a bank's: nine characters.
func bank(space string) string { return space[:min(9, len(space))] }

// ofxAccount is the id of an account and currency: at most 22 characters, the end of the account and the code.
func ofxAccount(account, code string) string {
	if len(account) > 12 {
		account = account[len(account)-12:]
	}
	if len(code) > 9 {
		h := sha256.Sum256([]byte(code))
		code = code[:4] + hex.EncodeToString(h[:])[:5]
	}
	return xml(account+"."+code, 22)
}

func ofxTime(t time.Time) string { return t.UTC().Format("20060102150405") + "[0:GMT]" }

// xml escapes text of others, at most n characters of it.
func xml(s string, n int) string {
	return markup.Replace(clip(Line(s), n))
}

// clip shortens text to n characters.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:max(0, n-1)])) + "…"
}
