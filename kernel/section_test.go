package kernel_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
)

// A section is folded in a directory of its own that does not stay; what a crash has left goes at the next start.
func TestFoldSectionLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "scratch-1", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := start(t, func(o *kernel.Options) { o.Store, o.DataDir = "pebble", dir })
	left := func() int {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, "scratch-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if n := left(); n > 0 {
		t.Errorf("%d scratch directories after the start", n)
	}
	h := r.app.host.(api.SectionHost)
	sec, err := h.FoldSection(t.Context(), api.Hash{1}, nil)
	if err != nil || sec.Records != 0 || sec.Digest.IsZero() || len(sec.Apps) == 0 {
		t.Errorf("a section of nothing: %+v, %v", sec, err)
	}
	if n := left(); n > 0 {
		t.Errorf("%d scratch directories after folding", n)
	}
	if _, err := h.FoldSection(t.Context(), api.Hash{1}, []api.Position{{Feed: api.Hash{2}, Seq: 1, ID: api.Hash{3}}}); api.KindOf(err) != api.NotFound {
		t.Errorf("a place that is not here: %v", err)
	}
}

// What an app reports reaches those who observe.
func TestReportedIncidentIsObserved(t *testing.T) {
	r, w, _ := guarded(t)
	r.app.host.(api.IncidentHost).Report(api.Incident{Kind: api.Divergence, Feed: api.Hash{1}, Seq: 2})
	for range 200 {
		if w.kinds()[api.Divergence] == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("observed: %v", w.kinds())
}
