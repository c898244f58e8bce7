package finality

import (
	"bytes"
	"fmt"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

const kindStatement = "statement"

// maxItems bounds a statement, so that its record stays below 24 KiB.
const maxItems = 256

// statement is a record's body.
type statement struct {
	_     struct{} `cbor:",toarray"`
	Items []item   // ascending by feed, 1 to maxItems
}

// item says that a feed is final up to a position.
type item struct {
	_        struct{} `cbor:",toarray"`
	Feed     api.Hash
	Seq      uint64
	ID       api.Hash
	Accepted bool
}

func decode(b []byte) (*statement, error) {
	var s statement
	if err := codec.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	if n := len(s.Items); n == 0 || n > maxItems {
		return nil, fmt.Errorf("%d items: want 1 to %d", n, maxItems)
	}
	for i := range s.Items {
		it := &s.Items[i]
		switch {
		case i > 0 && bytes.Compare(s.Items[i-1].Feed[:], it.Feed[:]) >= 0:
			return nil, fmt.Errorf("item %d: want strictly ascending order of feed", i)
		case it.Seq == 0 || it.ID.IsZero():
			return nil, fmt.Errorf("item %d: want a seq from 1 and an id", i)
		}
	}
	return &s, nil
}
