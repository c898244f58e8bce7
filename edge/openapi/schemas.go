package openapi

import (
	"encoding/json"

	"github.com/intercooperative/icn/kernel/api"
)

// Shape is the input and the output of one operation, or one item of a stream, as JSON Schemas.
type Shape struct {
	In, Out json.RawMessage
}

// Shapes describes operations in their order. The schemas refer to the named ones, which are returned with them, by #/components/schemas/NAME: whoever tells of
// them puts those at that place. A type that cannot be described is an Internal error, as it is of Document.
func Shapes(ops []api.Operation) (shapes []Shape, named map[string]json.RawMessage, err error) {
	ts := newTypes()
	for i := range ops { // first, as in Document: what is both answered and taken is described as what may be answered
		ts.ref(ops[i].Out, ops[i].Name, true)
	}
	for i := range ops {
		op := &ops[i]
		fs, err := ts.fields(op.In)
		if err != nil {
			return nil, nil, err
		}
		var s Shape
		if s.In, err = json.Marshal(ts.object(fs, op.Name, false)); err != nil {
			return nil, nil, api.Wrap(opName, err)
		}
		if s.Out, err = json.Marshal(ts.ref(op.Out, op.Name, true)); err != nil {
			return nil, nil, api.Wrap(opName, err)
		}
		shapes = append(shapes, s)
	}
	if ts.err != nil {
		return nil, nil, ts.err
	}
	named = map[string]json.RawMessage{}
	for name, s := range ts.schemas {
		if named[name], err = json.Marshal(s); err != nil {
			return nil, nil, api.Wrap(opName, err)
		}
	}
	return shapes, named, nil
}
