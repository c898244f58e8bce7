package books

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const space = "5f1c2d3e4b5a69788796a5b4c3d2e1f05f1c2d3e4b5a69788796a5b4c3d2e1f0"

func account(i int) string {
	return didPrefix + "51iAqYMEH4vcHxqFk3kAx8UFho3jBxzfCcK7SyCr" + string(rune('A'+i/20)) + string(rune('A'+i%20)) + "11"
}

var names5 = []string{"Ana Souza", "José ünïcode-Łukasz", "", "=Mallory", "Ольга Ψ; | \"x\" & <y>"}

var memos = []string{
	"bread", "", "=HYPERLINK(\"http://x\")", "-5 off", "@home; not a comment | no payee", "two, with a comma and \"quotes\"", "a\u202eb \\ c",
	strings.Repeat("a long memo that goes on ", 10), strings.Repeat("x", 250), "日本語 ελληνικά русский עברית",
}

// pay is a payment in a made-up world.
type pay struct {
	at       time.Time
	id       string
	from, to int
	currency int
	amount   int64
	memo     string
}

// world is some payments between accounts, as a book sees them.
type world struct {
	pays     []pay
	accounts int
}

func made(rows, accounts int) *world {
	w := &world{accounts: accounts}
	at := time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)
	for i := range rows {
		from := i % accounts
		w.pays = append(w.pays, pay{
			at: at.Add(time.Duration(i) * 7 * time.Hour), id: fmt.Sprintf("%064x", i+1), from: from, to: (from + 1 + i%(accounts-1)) % accounts, currency: i % 13 / 12,
			amount: int64(i*i%99_999 + 1), memo: memos[i%len(memos)],
		})
		if p := &w.pays[i]; p.to == p.from {
			p.to = (p.to + 1) % accounts
		}
	}
	return w
}

// book returns one account, or with -1 all, from from to to.
func (w *world) book(of int, from, to time.Time) *Book {
	b := &Book{Space: space, Name: "Vale Time Bank", Whole: of < 0, From: from, To: to, Zone: time.UTC, Currencies: []Currency{{Code: "eggs"}, {Code: "hours", Scale: 2}}}
	b.Sections = func(yield func(*Section, error) bool) {
		for i := range w.accounts {
			if of >= 0 && of != i {
				continue
			}
			s := &Section{Account: account(i), Name: names5[i%len(names5)], Opening: make([]int64, 2)}
			for _, p := range w.pays {
				if !p.at.Before(from) {
					break
				}
				s.Opening[1-p.currency] += p.delta(i)
			}
			s.Rows = w.rows(i, from, to)
			if !yield(s, nil) {
				return
			}
		}
	}
	return b
}

func (p *pay) delta(i int) int64 {
	switch i {
	case p.from:
		return -p.amount
	case p.to:
		return p.amount
	}
	return 0
}

func (w *world) rows(i int, from, to time.Time) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		for n, p := range w.pays {
			if p.delta(i) == 0 || p.at.Before(from) || !p.at.Before(to) {
				continue
			}
			other := p.from + p.to - i
			r := &Row{
				Time: p.at, ID: p.id, Counter: account(other), CounterName: names5[other%len(names5)], Currency: []string{"hours", "eggs"}[p.currency],
				Amount: p.delta(i), Memo: p.memo, Kind: "transfer", Final: n%9 != 8, Lead: p.delta(i) < 0,
			}
			if n%3 == 0 {
				r.Category = "food"
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

var year = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

func write(t testing.TB, b *Book, format string) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := Write(&out, b, format); err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return out.String()
}

// need finds a program that reads what is written. Where tests are meant to be whole, it has to be there.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed: scripts/deps.sh", program)
		}
		t.Skipf("%s is not installed: scripts/deps.sh", program)
	}
}

func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	need(t, program)
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LANG=C.UTF-8", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%.4000s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func save(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// books are those that the programs are tried on.
func books() map[string]*Book {
	w := made(300, 5)
	march := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	w.pays[100].memo = strings.Repeat("\"\\", 60)
	return map[string]*Book{
		"account": w.book(0, time.Time{}, year), "account from March": w.book(1, march, march.AddDate(0, 1, 0)), "space": w.book(-1, time.Time{}, year),
		"space from March": w.book(-1, march, year), "empty": made(0, 3).book(0, time.Time{}, year),
	}
}

func TestTheSameRowsGiveTheSameBytes(t *testing.T) {
	for _, format := range Formats() {
		a, b := write(t, made(200, 5).book(-1, time.Time{}, year), format), write(t, made(200, 5).book(-1, time.Time{}, year), format)
		if a != b || a == "" {
			t.Errorf("%s: two writings differ", format)
		}
	}
}

func TestHLedger(t *testing.T) {
	for name, b := range books() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			text := write(t, b, HLedger)
			save(t, dir, "a.journal", text)
			run(t, dir, "hledger", "-f", "a.journal", "check", "--strict")
			if name == "empty" {
				return
			}
			// What hledger makes of it is what was meant.
			for s := range b.Sections {
				tot := b.NewTotals()
				if err := b.Walk(s, tot, nil); err != nil {
					t.Fatal(err)
				}
				out := run(t, dir, "hledger", "-f", "a.journal", "balance", "-N", "-E", "--layout=bare", "-O", "csv", hAccount(s.Account)+"$")
				for i, c := range b.Currencies {
					want := fmt.Sprintf("%q,%q,%q", hAccount(s.Account), c.Code, Decimal(tot.Closing[i], c.Scale))
					if tot.Closing[i] != 0 && !strings.Contains(out, want) {
						t.Errorf("%s: want %s in\n%s", s.Account, want, out)
					}
				}
			}
			// A wrong amount is found by the assertions.
			bad := regexp.MustCompile(`    \d+\.\d\d "hours"`).ReplaceAllString(text, `    1.00 "hours"`)
			save(t, dir, "b.journal", regexp.MustCompile(`    -\d+\.\d\d "hours"`).ReplaceAllString(bad, `    -1.00 "hours"`))
			if err := exec.Command("hledger", "-f", filepath.Join(dir, "b.journal"), "check").Run(); err == nil {
				t.Error("other amounts pass the assertions")
			}
		})
	}
}

func TestBeancount(t *testing.T) {
	for name, b := range books() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			text := write(t, b, Beancount)
			save(t, dir, "a.beancount", text)
			if out := run(t, dir, "bean-check", "a.beancount"); strings.TrimSpace(out) != "" {
				t.Error(out)
			}
			if i := strings.LastIndex(text, " balance Assets:"); i >= 0 {
				j := i + strings.Index(text[i:], "  ") + 2
				save(t, dir, "b.beancount", text[:j]+"9"+strings.TrimPrefix(text[j:], "-"))
				if err := exec.Command("bean-check", filepath.Join(dir, "b.beancount")).Run(); err == nil {
					t.Error("another balance passes")
				}
			} else if name != "empty" {
				t.Error("no assertion")
			}
		})
	}
}

func TestOFX(t *testing.T) {
	for name, b := range books() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			text := write(t, b, OFX)
			save(t, dir, "a.ofx", text)
			out := run(t, dir, "ofxdump", "a.ofx")
			if strings.Contains(out, "ERROR") {
				t.Errorf("%.2000s", out)
			}
			rows := 0
			for s := range b.Sections {
				tot := b.NewTotals()
				if err := b.Walk(s, tot, nil); err != nil {
					t.Fatal(err)
				}
				rows += int(tot.Rows)
				for i, c := range b.Currencies {
					if !strings.Contains(text, "<ACCTID>"+ofxAccount(s.Account, c.Code)+"<") || !strings.Contains(text, "<BALAMT>"+Decimal(tot.Closing[i], c.Scale)+"<") {
						t.Errorf("%s %s: no statement with its balance", s.Account, c.Code)
					}
				}
			}
			if n := strings.Count(out, "ofx_proc_transaction()"); n != rows {
				t.Errorf("ofxdump reads %d movements, want %d", n, rows)
			}
			for _, m := range regexp.MustCompile(`<NAME>([^<]*)<`).FindAllStringSubmatch(text, -1) {
				if n := len([]rune(strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">").Replace(m[1]))); n > ofxName {
					t.Errorf("%q has %d characters", m[1], n)
				}
			}
		})
	}
}

func TestCSV(t *testing.T) {
	for name, b := range books() {
		text := write(t, b, CSV)
		if strings.Count(text, "\n") != strings.Count(text, "\r\n") {
			t.Errorf("%s: lines do not end in CR LF", name)
		}
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || !slices.Equal(rows[0], Columns()) {
			t.Fatalf("%s: %v", name, err)
		}
		for _, row := range rows[1:] {
			for _, i := range []int{3, 5, 6, 7, 8} {
				if row[i] != "" && strings.ContainsAny(row[i][:1], "=+-@") {
					t.Errorf("%s: %s %q is a formula", name, Columns()[i], row[i])
				}
			}
			if strings.ContainsRune(row[8], '\u202e') {
				t.Errorf("%s: %q turns the direction", name, row[8])
			}
		}
	}
	for in, want := range map[string]string{
		"": "", "a=b": "a=b", "=1": "'=1", " =1": "' =1", "+1": "'+1", "-1": "'-1", "@a": "'@a", "＝1": "'＝1", "a\nb": "a\uFFFDb", "\t=1": "\uFFFD=1",
	} {
		if got := Cell(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Rules is what `hledger import` needs to know of the CSV; docs/guides/treasurer.md shows the same.
const rulesPath = "../../../docs/guides/icn.rules"

func TestImportAddsNothingTheSecondTime(t *testing.T) {
	rules, err := os.ReadFile(rulesPath)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := made(300, 5)
	save(t, dir, "all.journal", "")
	save(t, dir, "icn.csv.rules", string(rules))
	march := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	save(t, dir, "icn.csv", write(t, w.book(0, time.Time{}, march), CSV))
	out := run(t, dir, "hledger", "-f", "all.journal", "import", "icn.csv")
	first := strings.Count(write(t, w.book(0, time.Time{}, march), CSV), "\n") - 1
	if !strings.Contains(out, fmt.Sprintf("imported %d new", first)) {
		t.Fatalf("want %d new: %s", first, out)
	}
	if out := run(t, dir, "hledger", "-f", "all.journal", "import", "icn.csv"); !strings.Contains(out, "no new") {
		t.Errorf("the second time: %s", out)
	}
	whole := write(t, w.book(0, time.Time{}, year), CSV)
	save(t, dir, "icn.csv", whole)
	if out := run(t, dir, "hledger", "-f", "all.journal", "import", "icn.csv"); !strings.Contains(out, fmt.Sprintf("imported %d new", strings.Count(whole, "\n")-1-first)) {
		t.Errorf("with later rows: %s", out)
	}
	tot := w.book(0, time.Time{}, year).NewTotals()
	for s := range w.book(0, time.Time{}, year).Sections {
		if err := w.book(0, time.Time{}, year).Walk(s, tot, nil); err != nil {
			t.Fatal(err)
		}
	}
	bal := run(t, dir, "hledger", "-f", "all.journal", "balance", "-N", "--layout=bare", "-O", "csv", "^"+hAccount(account(0)))
	if !strings.Contains(bal, Decimal(tot.Closing[1], 2)) {
		t.Errorf("%s, want %s", bal, Decimal(tot.Closing[1], 2))
	}
}

var refs = map[string]*regexp.Regexp{
	HLedger: regexp.MustCompile(`ref:([^,\n]+)`), Beancount: regexp.MustCompile(`\^icn-(\S+)`), OFX: regexp.MustCompile(`<FITID>([^<]+)`),
}

// blocks takes an export apart into what has an id.
func blocks(text, format string) map[string]string {
	sep := "\n\n"
	if format == OFX {
		sep = "\n"
	}
	out := map[string]string{}
	for part := range strings.SplitSeq(text, sep) {
		if m := refs[format].FindStringSubmatch(part); m != nil && !strings.HasPrefix(m[1], "opening") && !strings.HasPrefix(m[1], "closing") {
			i := strings.LastIndex(part[:strings.Index(part, m[0])], "\n") + 1 // without what introduces accounts
			if format == OFX {
				i = strings.Index(part, "<STMTTRN>")
			}
			out[m[1]] = part[i:]
		}
	}
	return out
}

// Two exports that overlap say the same of what is in both: without what is there twice they are the export of both.
func TestIDsAreStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := made(rapid.IntRange(1, 60).Draw(t, "rows"), 3)
		day := func(name string) time.Time {
			return time.Date(2026, 1, 1+rapid.IntRange(0, 20).Draw(t, name), 0, 0, 0, 0, time.UTC)
		}
		a, b, c, d := day("a"), day("b"), day("c"), day("d")
		a, d = slices.MinFunc([]time.Time{a, b, c, d}, time.Time.Compare), slices.MaxFunc([]time.Time{a, b, c, d}, time.Time.Compare)
		if b.Before(c) {
			b, c = c, b
		}
		of := rapid.IntRange(-1, 2).Draw(t, "of")
		for format := range refs {
			all := map[string]string{}
			for _, book := range []*Book{w.book(of, a, b), w.book(of, c, d)} {
				var out bytes.Buffer
				if _, err := Write(&out, book, format); err != nil {
					t.Fatal(err)
				}
				for id, text := range blocks(out.String(), format) {
					if old, ok := all[id]; ok && old != text && of >= 0 {
						t.Fatalf("%s %s:\n%s\nand\n%s", format, id, old, text)
					}
					if of >= 0 || all[id] == "" {
						all[id] = text
					}
				}
			}
			var out bytes.Buffer
			if _, err := Write(&out, w.book(of, a, d), format); err != nil {
				t.Fatal(err)
			}
			if want := blocks(out.String(), format); !slices.Equal(slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(want))) || of >= 0 && !maps.Equal(all, want) {
				t.Fatalf("%s: %d blocks of two exports, %d of one", format, len(all), len(want))
			}
		}
	})
}

func TestPDF(t *testing.T) {
	need(t, "pdftotext")
	for name, b := range books() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := save(t, dir, "a.pdf", write(t, b, PDF))
			if out := run(t, dir, "pdfinfo", path); !strings.Contains(out, "Vale Time Bank") {
				t.Error(out)
			}
			text := run(t, dir, "pdftotext", "-layout", path, "-")
			pages := strings.Count(text, "\f")
			for i, page := range strings.Split(strings.TrimSuffix(text, "\f"), "\f") {
				if !strings.Contains(page, fmt.Sprintf("page %d of %d", i+1, pages)) || !strings.Contains(page, "Vale Time Bank") || !strings.Contains(page, b.period()) {
					t.Errorf("page %d of %d:\n%s", i+1, pages, page)
				}
			}
			rows := 0
			for s := range b.Sections {
				tot := b.NewTotals()
				err := b.Walk(s, tot, func(r *Row, i int) error {
					rows++
					if !strings.Contains(text, Decimal(r.Balance, b.Currencies[i].Scale)) {
						t.Errorf("the balance %s is missing", Decimal(r.Balance, b.Currencies[i].Scale))
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if n := len(regexp.MustCompile(`(?m)^\s*2026-\d\d-\d\d( !)?  `).FindAllString(text, -1)); n != rows {
				t.Errorf("%d rows are dated, want %d", n, rows)
			}
		})
	}
	if _, err := Write(io.Discard, made(MaxPDFRows, 2).book(-1, time.Time{}, time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC)), PDF); !errors.Is(err, ErrTooLong) {
		t.Errorf("too many rows: %v", err)
	}
}

// TestPDFPage writes a page to look at, where BOOKS_PDF says.
func TestPDFPage(t *testing.T) {
	path := os.Getenv("BOOKS_PDF")
	if path == "" {
		t.Skip("BOOKS_PDF is not set")
	}
	if err := os.WriteFile(path, []byte(write(t, made(170, 3).book(0, time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), year), PDF)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{"Łukasz Ψ б": "Łukasz Ψ б", "日本 a": "▯▯ a", "עב": "▯▯", "a\u202eb": "a\uFFFDb", "\U0001F600": "▯"} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for account, want := range map[string][2]string{
		account(0):           {"icn:did:icn:51iAqYMEH4vcHxqFk3kAx8UFho3jBxzfCcK7SyCrAA11", "Assets:Members:D51iAqYMEH4vcHxqFk3kAx8UFho3jBxzfCcK7SyCrAA11"},
		"office:treasury":    {"icn:office:treasury", "Assets:Others:Aoffice-treasury"},
		"escrow:ab;\n\"cd\"": {"icn:escrow:ab---cd-", "Assets:Others:Aescrow-ab---cd-"},
	} {
		if h, b := hAccount(account), bAccount(account); h != want[0] || b != want[1] {
			t.Errorf("%q: %s, %s", account, h, b)
		}
	}
	for code, want := range map[string]string{"hours": "HOURS", "h": "C.H.C", "1a": "C.1A.C", "a-": "C.A-.C", "a-b": "A-B", "-": "C.-.C"} {
		if got := commodity(code); got != want {
			t.Errorf("%q: %s, want %s", code, got, want)
		}
	}
	for _, tc := range [][3]string{{"Ana", account(0), "Ana …SyCrAA11"}, {"", account(0), "…SyCrAA11"}, {"Treasury", "office:treasury", "Treasury office:treasury"}, {"", "office:x", "office:x"}} {
		if got := Label(tc[0], tc[1]); got != tc[2] {
			t.Errorf("%q", got)
		}
	}
}

func TestErrorsEndTheWriting(t *testing.T) {
	stop := errors.New("stop")
	b := made(50, 3).book(-1, time.Time{}, year)
	sections := b.Sections
	b.Sections = func(yield func(*Section, error) bool) {
		for s := range sections {
			rows := s.Rows
			s.Rows = func(yield func(*Row, error) bool) {
				for r := range rows {
					if !yield(r, nil) {
						return
					}
				}
				yield(nil, stop)
			}
			if !yield(s, nil) {
				return
			}
		}
	}
	for _, format := range Formats() {
		if _, err := Write(io.Discard, b, format); !errors.Is(err, stop) {
			t.Errorf("%s: %v", format, err)
		}
		if _, err := Write(full{}, made(5000, 3).book(-1, time.Time{}, year), format); !errors.Is(err, errFull) {
			t.Errorf("%s to a full disk: %v", format, err)
		}
	}
	if _, err := Write(io.Discard, b, "xls"); err == nil || !strings.Contains(err.Error(), "beancount, csv, hledger, ofx, pdf") {
		t.Error(err)
	}
}

type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestTotals(t *testing.T) {
	b := made(260, 5).book(-1, time.Time{}, year)
	tot := b.NewTotals()
	sums := make([]int64, 2)
	for s := range b.Sections {
		if err := b.Walk(s, tot, nil); err != nil {
			t.Fatal(err)
		}
		for i, n := range tot.Closing {
			sums[i] += n
		}
	}
	if tot.Rows != 520 || sums[0] != 0 || sums[1] != 0 {
		t.Errorf("%d rows, %v", tot.Rows, sums)
	}
	var in, out int64
	for _, c := range tot.Categories() {
		if c.Currency == 1 {
			in, out = in+c.In, out+c.Out
		}
	}
	if in != out || in != tot.Sums[1].In || out != tot.Sums[1].Out || in == 0 {
		t.Errorf("in %d, out %d, %+v", in, out, tot.Sums)
	}
	for i := range 2 * maxCategories {
		tot.category(0, fmt.Sprint("c", i)).add(1)
	}
	if n := len(tot.Categories()); n > maxCategories+2 {
		t.Errorf("%d categories are kept", n)
	}
}
