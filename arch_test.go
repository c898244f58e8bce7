package icn

import (
	"os"
	"slices"
	"testing"
)

// policyFile holds the lists of the law.
const policyFile = "testdata/arch.txt"

// TestLaw holds this module, and the modules nested in it, against the law: rules A1 to A9 of docs/architecture.md. Run it with -count=1.
func TestLaw(t *testing.T) {
	src, err := loadTree(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range realLaw(t).check(src) {
		t.Error(violation)
	}
}

// TestPolicyHoldsItsGround fails when the policy file was loosened where the law must not be.
func TestPolicyHoldsItsGround(t *testing.T) {
	l := realLaw(t)
	for _, w := range []string{"trust", "ledger", "vote", "proposal", "coop", "membership", "steward", "governance"} {
		if !l.words[w] {
			t.Errorf("word %q is missing", w)
		}
	}
	for _, p := range []string{"kernel/api", "kernel/record", "kernel/internal/gate", "kernel/internal/wire"} {
		if !matchAny(l.pure, p) {
			t.Errorf("%s is not listed as pure", p)
		}
	}
	for _, z := range slices.Concat(l.zones, l.tests) {
		if !match("kernel/...", z.pattern) && !match("codec", z.pattern) && !match("obs", z.pattern) {
			continue
		}
		for _, to := range z.may {
			if !matchAny(belowKernel, to) {
				t.Errorf("zone %s may import %s, which is above the kernel", z.pattern, to)
			}
		}
	}
}

func realLaw(t *testing.T) *law {
	t.Helper()
	b, err := os.ReadFile(policyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := parseLaw(string(b))
	if err != nil {
		t.Fatalf("%s: %v", policyFile, err)
	}
	return l
}
