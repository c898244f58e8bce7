package kernel

import (
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

// That a space is founded is remembered until the next record comes, or the state is made anew; for good, until then, once it is final.
func TestFoundingIsAskedAnew(t *testing.T) {
	var f foundings
	space := api.Hash{1}
	f.note(space, 5)
	if !f.has(space, 5) || f.has(api.Hash{2}, 5) {
		t.Error("what was found is not remembered, or of another space")
	}
	if f.has(space, 6) {
		t.Error("it is remembered beyond another record")
	}
	f.note(space, forGood)
	if !f.has(space, 7) || !f.has(space, 8) || f.has(api.Hash{2}, forGood) {
		t.Error("what is final is not remembered, or of another space")
	}
	f.forget()
	if f.has(space, 6) {
		t.Error("it is remembered of a state that is gone")
	}
}
