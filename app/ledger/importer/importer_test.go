package importer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func hours(code string) (int, bool) { return 2, code == "hours" }

func read(t *testing.T, m *Mapping, text string) (*File, error) {
	t.Helper()
	return Read(strings.NewReader(text), m, hours)
}

func preset(t *testing.T, name string) *Mapping {
	t.Helper()
	m, ok := Preset(name)
	if !ok {
		t.Fatalf("no preset %s", name)
	}
	if err := m.check(); err != nil {
		t.Fatalf("preset %s: %v", name, err)
	}
	m.Currency = "hours"
	return m
}

// Each preset reads the export of its system; what was paid and what accounts stand at come to the same.
func TestPresetsReadTheirExports(t *testing.T) {
	want := map[string]string{
		"komunitin-transfers":    "NET0001>NET0002 150 2024-03-02, NET0002>NET0003 1200 2024-03-05, NET0003>NET0000 25 2024-04-01",
		"komunitin-accounts":     "NET0000=25, NET0001=-150, NET0002=-1050, NET0003=1175",
		"ces-transactions":       "CTTN0012>CTTN0044 125000 2023-02-28, CTTN0044>CTTN0012 8550 2023-03-01, CTTN0044>CTTN0012 8550 2023-03-01 #1",
		"ces-balances":           "CTTN0012=-107900, CTTN0044=107900",
		"timeoverflow-transfers": "Nuria-Puig>Marta-Lopez 150 2024-01-31, Marta-Lopez>Banc-de-Temps 25 2024-02-01",
		"timeoverflow-members":   "1=-150, 2=125, 3=25",
		"hourworld-transactions": "Joe-Smith>Lee-Ann-Brown 125 2024-02-29, Lee-Ann-Brown>Joe-Smith 200 2024-12-01",
		"hourworld-members":      "Lee-Ann-Brown=-75, Joe-Smith=75",
	}
	for _, name := range Presets() {
		b, err := os.ReadFile(filepath.Join("testdata", name+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := read(t, preset(t, name), string(b))
		if err != nil || len(f.Problems) > 0 {
			t.Errorf("%s: %v, %v", name, err, f)
			continue
		}
		var got []string
		short := func(code string) string {
			if _, named := f.Names[code]; named {
				return code[:len(code)-hashSize-1]
			}
			return code
		}
		for _, m := range f.Moves {
			s := fmt.Sprintf("%s>%s %d %s", short(m.From), short(m.To), m.Amount, m.Day)
			if m.N > 0 {
				s += fmt.Sprintf(" #%d", m.N)
			}
			got = append(got, s)
		}
		for _, s := range f.Stated {
			got = append(got, fmt.Sprintf("%s=%d", short(s.Account), s.Amount))
		}
		if strings.Join(got, ", ") != want[name] {
			t.Errorf("%s:\n got %s\nwant %s", name, strings.Join(got, ", "), want[name])
		}
		if len(f.Difference()) != 0 {
			t.Errorf("%s: %v", name, f.Difference())
		}
	}
}

// Every cell that cannot be read is named by row and column, and nothing is guessed.
func TestBadCells(t *testing.T) {
	m, err := Parse([]byte(`{"kind":"transfers","columns":{"from":"From","to":["To","Payee"],"amount":"Sum","date":"When","currency":"Unit","id":"Nr"},"currencies":{"HOUR":"hours"}}`))
	if err != nil {
		t.Fatal(err)
	}
	const head = "From,Payee,Sum,When,Unit,Nr\n"
	for row, want := range map[string]string{
		"a,b,1.00,2024-01-02,HOUR,1":                             "",
		"a,b,1.005,2024-01-02,HOUR,1":                            `row 2, column Sum: "1.005": no whole number`,
		"a,b,1.0000,2024-01-02,HOUR,1":                           "",
		"a,b,\"1,00\",2024-01-02,HOUR,1":                         `column Sum: "1,00": want an amount such as 12.50`,
		"a,b,\"1,000.50\",2024-01-02,HOUR,1":                     "",
		"a,b,1e3,2024-01-02,HOUR,1":                              "column Sum",
		"a,b,,2024-01-02,HOUR,1":                                 "column Sum",
		"a,b,0x10,2024-01-02,HOUR,1":                             "column Sum",
		"a,b,99999999999999999999,2024-01-02,HOUR,1":             "too large",
		"a,b,1,02/01/2024,HOUR,1":                                `column When: "02/01/2024": want a date as YYYY-MM-DD`,
		"a,b,1,2024-02-30,HOUR,1":                                "column When",
		"a,b,1,,HOUR,1":                                          "",
		",b,1,2024-01-02,HOUR,1":                                 "column From: empty",
		"a,b,1,2024-01-02,EUR,1":                                 `column Unit: currency "EUR": the space has no such currency`,
		"a,b,1,2024-01-02,HOUR," + strings.Repeat("x", maxID+1):  "column Nr",
		"a,b,1,2024-01-02":                                       "row 2: 4 fields, want 6 as in row 1",
		"a," + strings.Repeat("x", 300) + ",1,2024-01-02,HOUR,1": "column Payee",
		"a,\xff,1,2024-01-02,HOUR,1":                             "not in UTF-8",
		"a,b,x,y,HOUR,1":                                         "column Sum",
	} {
		f, err := read(t, m, head+row+"\n")
		if err != nil {
			t.Errorf("%q: %v", row, err)
			continue
		}
		var got []string
		for _, p := range f.Problems {
			got = append(got, p.String())
		}
		if all := strings.Join(got, "; "); want == "" && all != "" || !strings.Contains(all, want) {
			t.Errorf("%q: %s, want %q", row, all, want)
		}
		if want != "" && len(f.Moves) > 0 {
			t.Errorf("%q: there is a problem, and a movement: %+v", row, f.Moves)
		}
	}
	if f, _ := read(t, m, head+strings.Repeat("a,b,x,y,HOUR,1\n", 80)); len(f.Problems) != MaxProblems || f.More != 60 {
		t.Errorf("%d problems and %d more", len(f.Problems), f.More)
	}
	for text, want := range map[string]string{
		"":                                     "empty",
		"From,Payee,Sum\n":                     "no rows",
		"From,Sum\na,1\n":                      "no column for to: want To or Payee",
		"From,From,Payee,Sum\na,a,b,1\n":       "twice",
		head + "\"a":                           "row 2",
		head + strings.Repeat("x,", 20) + "\n": "",
		strings.Repeat("x,", MaxColumns+1):     "columns, at most",
		head + strings.Repeat("a,b,1,2024-01-02,HOUR,\n", MaxRows+1): "more than 100000 rows",
		head + strings.Repeat("x", MaxBytes):                         "more than 10485760 bytes",
	} {
		if _, err := read(t, m, text); want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.30q: %v, want %q", text, err, want)
		}
	}
}

// Amounts and dates as they are written elsewhere.
func TestForms(t *testing.T) {
	for _, tc := range []struct {
		m    Mapping
		text string
		want string
	}{
		{Mapping{Point: ",", Unit: Decimal}, "1.250,5", "125050"},
		{Mapping{Point: ",", Unit: Decimal}, "-0,25", "-25"},
		{Mapping{Point: ".", Unit: Decimal}, "1 250.50", "125050"},
		{Mapping{Point: ".", Unit: Decimal}, "(3.10)", "-310"},
		{Mapping{Point: ".", Unit: Decimal}, "\u22123", "-300"},
		{Mapping{Point: ".", Unit: Decimal}, "12,50", "want an amount"},
		{Mapping{Point: ".", Unit: Decimal}, "--1", "want an amount"},
		{Mapping{Point: ".", Unit: Clock}, "0:20", "no whole number"},
		{Mapping{Point: ".", Unit: Clock, Round: true}, "0:20", "33"},
		{Mapping{Point: ".", Unit: Clock}, "-10:45", "-1075"},
		{Mapping{Point: ".", Unit: Clock}, "1:60", "want an amount"},
		{Mapping{Point: ".", Unit: Clock}, "1.5", "want an amount"},
		{Mapping{Point: ".", Unit: Minutes}, "90", "150"},
		{Mapping{Point: ".", Unit: Seconds}, "-900", "-25"},
	} {
		n, err := tc.m.amount(tc.text, 2)
		got := fmt.Sprint(n)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tc.want) {
			t.Errorf("%q as %+v: %s, want %s", tc.text, tc.m, got, tc.want)
		}
	}
	for _, tc := range [][3]string{
		{"DD/MM/YYYY", "3/4/2024", "2024-04-03"},
		{"MM/DD/YYYY", "3/4/2024 10:00 PM", "2024-03-04"},
		{"DD.MM.YYYY", "03.04.2024", "2024-04-03"},
		{"YYYY-MM-DD", "2024-04-03T22:00:00Z", "2024-04-03"},
		{"MM/DD/YYYY", "13/4/2024", ""},
		{"YYYY-MM-DD", "0000-01-01", ""},
	} {
		m := Mapping{Date: tc[0]}
		if got, err := m.day(tc[1]); got != tc[2] || (err == nil) != (tc[2] != "") {
			t.Errorf("%s as %s: %s, %v, want %s", tc[1], tc[0], got, err, tc[2])
		}
	}
}

// What has one side is entered against the clearing account, by the sign that the mapping says.
func TestEntries(t *testing.T) {
	for name, tc := range map[string]struct{ mapping, text string }{
		"one column":  {`{"kind":"entries","currency":"hours","columns":{"account":"A","amount":"N"}}`, "A,N\nx,5\ny,-4\n"},
		"debit":       {`{"kind":"entries","currency":"hours","sign":"debit","columns":{"account":"A","amount":"N"}}`, "A,N\nx,-5\ny,4\n"},
		"two columns": {`{"kind":"entries","currency":"hours","columns":{"account":"A","credit":"C","debit":"D"}}`, "A,C,D\nx,5,\ny,,4\n"},
		"semicolons":  {`{"kind":"entries","currency":"hours","separator":";","point":",","columns":{"account":"A","amount":"N"}}`, "\ufeffA;N\r\nx;5,00\r\ny;-4,00\r\n"},
	} {
		m, err := Parse([]byte(tc.mapping))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f, err := read(t, m, tc.text)
		if err != nil || len(f.Problems) > 0 || len(f.Moves) != 2 {
			t.Fatalf("%s: %v, %+v", name, err, f)
		}
		if a, b := f.Moves[0], f.Moves[1]; a.From != Clearing || a.To != "x" || a.Amount != 500 || b.From != "y" || b.To != Clearing || b.Amount != 400 {
			t.Errorf("%s: %+v", name, f.Moves)
		}
		if f.Difference()["hours"] != 100 {
			t.Errorf("%s: the difference is %v", name, f.Difference())
		}
	}
}

func TestBadMappings(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "or JSON",
		"komunitin":            "want one of ces-balances",
		"{":                    "mapping",
		`{"x":1}`:              "unknown field",
		`{"preset":"x"}`:       "preset",
		`{}`:                   "kind",
		`{"kind":"transfers"}`: "needs a header for from",
		`{"kind":"balances","columns":{"account":"a"}}`:                                           "needs a header for credit",
		`{"kind":"balances","columns":{"account":"a","amount":"b","credit":"c"}}`:                 "not both",
		`{"kind":"balances","columns":{"account":"a","colour":"b"}}`:                              "colour",
		`{"preset":"ces-balances","date":"YY"}`:                                                   "date",
		`{"preset":"ces-balances","point":"x"}`:                                                   "point",
		`{"preset":"ces-balances","keep":{"state":["a"]}}`:                                        "keep",
		`{"preset":"ces-balances","on":"tomorrow"}`:                                               "on",
		`{"preset":"ces-balances","source":"No"}`:                                                 "source",
		`{"preset":"ces-balances"} {}`:                                                            "behind its end",
		`{"preset":"ces-balances","columns":{"account":` + strings.Repeat(" ", MaxMapping) + `}}`: "at most",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
	for _, name := range Presets() { // a preset that is printed is a mapping
		m := preset(t, name)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c, _ := json.Marshal(again); string(c) != string(b) {
			t.Errorf("%s: %s, then %s", name, b, c)
		}
	}
}

// Two accounts never get one code.
func TestCodes(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{"Ana", "ana", "Ana B", "Ana-B", "Ána B", "Ana  B", "clearing", "日本", "日木", "-", strings.Repeat("x", 48), strings.Repeat("x", 49), strings.Repeat("x", 50)} {
		code, err := Code(text)
		if err != nil || !IsCode(code) || code == Clearing {
			t.Errorf("%q: %q, %v", text, code, err)
		}
		if before, ok := seen[code]; ok {
			t.Errorf("%q and %q are both %s", before, text, code)
		}
		seen[code] = text
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range Presets() {
		b, err := os.ReadFile(filepath.Join("testdata", name+".csv"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(name), b)
	}
	f.Add([]byte(`{"kind":"entries","currency":"hours","columns":{"account":"A","credit":"C","debit":"D"},"unit":"h:mm","round":true}`), []byte("A,C,D\nx,5:00,\n"))
	f.Fuzz(func(t *testing.T, mapping, text []byte) {
		m, err := Parse(mapping)
		if err != nil {
			return
		}
		if m.Currency == "" {
			m.Currency = "hours"
		}
		file, err := Read(strings.NewReader(string(text)), m, hours)
		if err != nil {
			return
		}
		for _, mv := range file.Moves {
			if mv.Amount <= 0 || mv.Amount > 2*maxAmount || !IsCode(mv.From) || !IsCode(mv.To) || mv.From == mv.To || len(mv.Memo) > MaxText || mv.Category != "" && !isCode(mv.Category, 32) || mv.Currency != "hours" {
				t.Errorf("%+v", mv)
			}
			if mv.Day != "" {
				if _, err := isoDay(mv.Day); err != nil {
					t.Errorf("%+v: %v", mv, err)
				}
			}
		}
		if len(file.Moves)+len(file.Stated) > file.Rows {
			t.Errorf("%d rows, %d movements", file.Rows, len(file.Moves)+len(file.Stated))
		}
	})
}
