package ed

import (
	"encoding/binary"
	"testing"
)

// Whatever is asked, a memo holds two generations at most, and forgets first what nobody asks about.
func TestMemoIsBounded(t *testing.T) {
	var m memo
	key := func(n int) []byte { return binary.BigEndian.AppendUint64(make([]byte, KeySize-8), uint64(n)) }
	asked := key(0)
	m.add(asked)
	for n := 1; n < 5*maxGeneration; n++ {
		m.add(key(n))
		if !m.has(asked) {
			t.Fatalf("after %d keys the one that is asked about each time is forgotten", n)
		}
		if have := len(m.young) + len(m.old); have > 2*maxGeneration {
			t.Fatalf("%d keys are remembered", have)
		}
	}
	if m.has(key(1)) || !m.has(key(5*maxGeneration-1)) {
		t.Error("the oldest key is remembered, or the newest is not")
	}
	if m.has(key(1)[1:]) || m.has(nil) {
		t.Error("what is no key is remembered")
	}
}
