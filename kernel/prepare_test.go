package kernel_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

// greedy is an app whose operations do more than append one record by their caller.
type greedy struct{ host api.Host }

func (*greedy) Info() api.AppInfo                           { return api.AppInfo{Name: "greedy"} }
func (g *greedy) Start(_ context.Context, h api.Host) error { g.host = h; return nil }

type greedyIn struct {
	Space api.Hash `json:"space"`
	How   string   `json:"how"`
}

func (g *greedy) Operations() []api.Operation {
	return []api.Operation{api.Handle(api.Operation{Name: "greedy.do", Scope: "greedy:write", Write: true, Signs: api.SignsOne},
		func(ctx context.Context, call *api.Call, in *greedyIn) (*api.Receipt, error) {
			write := func(s api.Signer, text string) error {
				_, err := g.host.Append(ctx, s, api.Draft{Topic: api.Topic{Space: in.Space, Name: "notes"}, Kind: "note", Body: []byte(text)}, call.Wait)
				return err
			}
			switch in.How {
			case "self":
				return nil, write(g.host.Self(), "by the node")
			case "dial":
				return nil, g.host.Dial(ctx, "icn://x@127.0.0.1:1", nil)
			case "sign":
				_, err := call.Signer.Sign([]byte("give me all your money"))
				return nil, err
			case "many":
				var all sync.WaitGroup
				for i := range 8 {
					all.Go(func() { _ = write(call.Signer, fmt.Sprint(i)) })
				}
				all.Wait()
			}
			return &api.Receipt{}, nil
		})}
}

// A call that only prepares writes nothing, connects to nobody and signs nothing but a record, whatever the app does with what it is given.
func TestPreparingDoesNothingElse(t *testing.T) {
	r := start(t, func(o *kernel.Options) { o.Apps = append(o.Apps, &greedy{}) })
	space := r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	before := r.digest(t)
	ann := identity.Derive("prepare", "ann")
	ask := func(how string) (*kernel.PrepareOut, error) {
		in, _ := json.Marshal(kernel.PrepareIn{Operation: "greedy.do", Input: json.RawMessage(fmt.Sprintf(`{"space":%q,"how":%q}`, space, how)), Auth: ann.Auth()})
		out, err := r.Call(context.Background(), &api.Call{Actor: ann.DID(), Device: ann.Device(), Scopes: []string{"*"}}, "record.prepare", in, nil)
		if err != nil {
			return nil, err
		}
		return out.(*kernel.PrepareOut), nil
	}
	for how, kind := range map[string]api.Kind{"self": api.Refused, "dial": api.Refused, "sign": api.Unsupported} {
		if _, err := ask(how); api.KindOf(err) != kind {
			t.Errorf("%s: %v", how, err)
		}
	}
	if out, err := ask("nothing"); err != nil || len(out.Bytes) > 0 || out.Output == nil {
		t.Errorf("an operation that appends nothing: %+v %v", out, err)
	}
	out, err := ask("many")
	if err != nil || len(out.Bytes) == 0 || !out.More || out.Description.Known || out.Position.Seq != 1 {
		t.Fatalf("an operation that appends several: %+v %v", out, err)
	}
	if r.digest(t) != before {
		t.Error("preparing changed the state")
	}
}

// FuzzPrepareSubmit prepares with any input and submits any bytes: nothing is written that was not signed, and nothing breaks.
func FuzzPrepareSubmit(f *testing.F) {
	f.Add("notes.write", `{"text":"x"}`, []byte{0x82, 0x40, 0x40}, []byte{})
	f.Add("record.prepare", `{"operation":"record.prepare"}`, []byte{}, []byte{1})
	f.Add("", ``, []byte("not a record"), []byte{0xff})
	r := start(f, nil)
	var space api.Hash
	ann := identity.Derive("prepare", "ann")
	f.Fuzz(func(t *testing.T, operation, input string, raw, auth []byte) {
		if space.IsZero() {
			space = r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
		}
		before := r.digest(t)
		call := func() *api.Call { return &api.Call{Actor: ann.DID(), Device: ann.Device(), Scopes: []string{"*"}} }
		in := map[string]any{"operation": operation, "auth": auth}
		if json.Valid([]byte(input)) {
			in["input"] = json.RawMessage(input)
		} else {
			in["input"] = map[string]any{"space": space, "text": input}
		}
		b, _ := json.Marshal(in)
		if out, err := r.Call(context.Background(), call(), "record.prepare", b, nil); err == nil {
			if p := out.(*kernel.PrepareOut); len(p.Bytes) > 0 {
				if rec, err := record.Parse(p.Bytes); err != nil || rec.Device != ann.Device() {
					t.Fatalf("%v %+v", err, rec)
				}
				raw = append(p.Bytes, raw...)
			}
		}
		b, _ = json.Marshal(map[string]any{"records": []string{base64.StdEncoding.EncodeToString(raw)}})
		if out, err := r.Call(context.Background(), call(), "record.submit", b, nil); err == nil {
			t.Fatalf("taken without a signature: %+v", out)
		}
		if r.digest(t) != before {
			t.Fatal("the state changed")
		}
	})
}
