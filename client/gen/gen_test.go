package gen

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

type level string

type shade int

func (shade) MarshalText() ([]byte, error) { return nil, nil }

type Wait struct {
	N int `json:"n"`
}

type base struct {
	Space api.Hash `json:"space,omitzero" doc:"which space"`
}

type in struct {
	base
	To    api.DID `json:"to"`
	Scale *int    `json:"scale,omitempty"`
	_     int
	Out   string `json:"-"`
}

type out struct {
	Receipt api.Receipt       `json:"receipt"`
	Waits   []Wait            `json:"waits"`
	Self    *out              `json:"self,omitempty"`
	Inline  struct{ X int }   `json:"inline"`
	Level   level             `json:"level"`
	Shade   shade             `json:"shade"`
	At      time.Time         `json:"at"`
	Raw     json.RawMessage   `json:"raw"`
	Any     any               `json:"any"`
	Map     map[string][]Wait `json:"map"`
	Plain   uint64
}

func handler[I, O any](op api.Operation) api.Operation {
	return api.Handle(op, func(context.Context, *api.Call, *I) (*O, error) { return nil, nil })
}

func TestSource(t *testing.T) {
	ops := []api.Operation{
		handler[in, out](api.Operation{Name: "pay.now", Summary: "Pay somebody", Write: true}),
		handler[struct{}, out](api.Operation{Name: "id.show", Summary: "Show it"}),
		handler[in, struct{}](api.Operation{Name: "peer.ban"}),
		handler[struct{}, struct{}](api.Operation{Name: "peer.quit", Write: true}),
		api.HandleStream(api.Operation{Name: "topic.tail"}, func(context.Context, *api.Call, *in, func(*Wait) error) error { return nil }),
	}
	got, err := Source(ops)
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/golden.go.txt"
	if *rewrite {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("differs from %s (go test -rewrite makes it anew):\n%s", golden, got)
	}
	again, err := Source([]api.Operation{ops[4], ops[3], ops[2], ops[1], ops[0]})
	if err != nil || string(again) != string(got) {
		t.Error("the order of the table shows in the source")
	}
}

func TestSourceRefuses(t *testing.T) {
	type bad struct {
		C chan int `json:"c"`
	}
	for _, ops := range [][]api.Operation{
		{handler[in, bad](api.Operation{Name: "a.b"})},
		{handler[in, out](api.Operation{Name: "a.b"}), handler[in, out](api.Operation{Name: "a-b"})},
	} {
		if _, err := Source(ops); err == nil || !strings.HasPrefix(err.Error(), "gen: ") {
			t.Errorf("%s: %v", ops[0].Name, err)
		}
	}
}
