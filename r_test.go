package icn

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// Of the rows R1 to R15 this file holds what is a matter of the law of imports. Not tested, since the thing does not exist yet:
//
//	R8  the fuel of a sandbox (no sandbox; what stands in for it is below and in kernel/internal/gossip)
//	R9  the circuit of a proof system (no proof system)
//	R10 state between spaces (of a federation itself: app/membership)

// R8: no rule reads a wall clock. Rules run in the node's own process, so the law has to say it: every file of an app that holds an Apply
// is listed as pure, and the law finds a clock there.
func TestR8_NoWallClockInTheRules(t *testing.T) {
	src, err := loadTree(".")
	if err != nil {
		t.Fatal(err)
	}
	l := realLaw(t)
	rules := 0
	for _, p := range src.sorted() {
		for _, f := range p.files {
			if f.test || !strings.HasPrefix(p.path, "app/") {
				continue
			}
			for _, d := range f.ast.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Recv == nil || fn.Name.Name != "Apply" {
					continue
				}
				rules++
				if !slices.ContainsFunc(l.pure, func(pattern string) bool { return match(pattern, p.path) || match(pattern, f.name) }) {
					t.Errorf("%s holds an Apply and is not listed as pure", f.name)
				}
			}
		}
	}
	if rules < 4 {
		t.Errorf("found %d apps with rules: the test no longer tests", rules)
	}
	const clock = "package two\nimport \"time\"\nfunc late(now int64) bool { return time.Now().Unix() > now }\n"
	if vs := judge(t, plantLaw, map[string]string{"go.mod": "module example.org/icn\n", "app/two/state.go": clock}); !slices.ContainsFunc(vs, func(v string) bool {
		return strings.HasPrefix(v, "A6 app/two/state.go:3: time.Now")
	}) {
		t.Errorf("a clock in the rules goes unnoticed: %v", vs)
	}
}
