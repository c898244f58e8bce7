package api_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

type base struct {
	Space api.Hash `json:"space,omitzero"`
	Topic string   `json:"topic" doc:"the topic's name"`
}

type row struct {
	Who string `json:"who"`
	N   *int   `json:"n"`
}

type wanting struct {
	base
	Amount int64           `json:"amount" doc:"minor units"`
	Key    api.Key         `json:"key"`
	Body   []byte          `json:"body"`
	Raw    json.RawMessage `json:"raw"`
	Rows   []row           `json:"rows"`
	More   *row            `json:"more,omitempty"`
	Pair   [2]bool         `json:"pair,omitempty"`
	Note   string          `json:"note,omitempty"`
	Plain  bool
	hidden int
	Never  int `json:"-"`
}

func TestDecodeWantsWhatIsNotOptional(t *testing.T) {
	op := api.Handle(api.Operation{Name: "demo.want"}, func(context.Context, *api.Call, *wanting) (*out, error) { return nil, nil })
	full := map[string]any{
		"topic": "", "amount": 0, "key": "", "body": "", "raw": 0, "rows": []any{}, "Plain": false,
	}
	with := func(name string, v any) json.RawMessage {
		m := map[string]any{}
		for k, v := range full {
			m[k] = v
		}
		if m[name] = v; v == nil {
			delete(m, name)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if _, err := op.Decode(with("note", "given as zero is given")); err != nil {
		t.Error(err)
	}
	for name := range full {
		_, err := op.Decode(with(name, nil))
		if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), ": "+name+": missing") {
			t.Errorf("without %s: %v", name, err)
		}
		if _, err = op.Decode(with(name, json.RawMessage("null"))); name != "raw" && !strings.Contains(err.Error(), ": "+name+": missing") {
			t.Errorf("%s null: %v", name, err)
		}
	}
	for raw, want := range map[string]string{
		"":                        `topic: missing, want: the topic's name`,
		`{}`:                      `topic: missing, want: the topic's name`,
		`{"topic":"a"}`:           `amount: missing, want: minor units`,
		`{"TOPIC":"","amount":0}`: `key: missing`,
		`{"topic":null}`:          `topic: missing`,
		string(with("rows", []any{map[string]any{"who": "", "n": 0}, map[string]any{"n": 1}})): `rows[1].who: missing`,
		string(with("rows", []any{nil})):                          `rows[0].who: missing`,
		string(with("more", map[string]any{"who": "a"})):          `more.n: missing`,
		string(with("more", map[string]any{"who": "", "n": nil})): `more.n: missing`,
	} {
		if _, err := op.Decode([]byte(raw)); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", raw, err, want)
		}
	}
	_ = wanting{hidden: 0}
}
