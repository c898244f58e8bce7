package rpc

import (
	"encoding/json"

	"github.com/intercooperative/icn/edge/openapi"
	"github.com/intercooperative/icn/kernel/api"
)

// Discovery is the answer of rpc.discover. Schemas refer to those of Components by #/components/schemas/NAME, which is their place in it.
type Discovery struct {
	Operations []Description `json:"operations"`
	Components Components    `json:"components"`
}

// Components are what schemas refer to.
type Components struct {
	Schemas map[string]json.RawMessage `json:"schemas"`
}

// Description is what rpc.discover tells of one operation.
type Description struct {
	Name    string          `json:"name"`
	Kind    string          `json:"kind"` // unary, list or stream
	Summary string          `json:"summary"`
	Scope   string          `json:"scope"`
	Write   bool            `json:"write,omitempty"`
	CLI     string          `json:"cli,omitempty"`
	In      json.RawMessage `json:"in"`  // the JSON Schema of the input
	Out     json.RawMessage `json:"out"` // and of the output, or of one item of a stream
}

func discover(ops []api.Operation) (*Discovery, error) {
	shapes, named, err := openapi.Shapes(ops)
	if err != nil {
		return nil, err
	}
	out := &Discovery{Operations: make([]Description, len(ops)), Components: Components{named}}
	for i, op := range ops {
		out.Operations[i] = Description{
			Name: op.Name, Kind: op.Kind.String(), Summary: op.Summary, Scope: op.Scope, Write: op.Write, CLI: op.CLI, In: shapes[i].In, Out: shapes[i].Out,
		}
	}
	return out, nil
}
