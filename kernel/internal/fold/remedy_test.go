package fold

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

// adviser is an app with one remedy.
type adviser struct{}

func (adviser) Info() api.AppInfo           { return api.AppInfo{Name: "toy"} }
func (adviser) Remedies() map[string]string { return map[string]string{"closed": "open it"} }

func TestAdvise(t *testing.T) {
	apps, err := NewApps([]api.App{adviser{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		in     api.Reason
		remedy string
	}{
		{"of its app", api.Reason{Domain: "toy", Rule: "closed"}, "open it"},
		{"its own", api.Reason{Domain: "toy", Rule: "closed", Remedy: "wait"}, "wait"},
		{"another app's", api.Reason{Domain: "other", Rule: "closed"}, ""},
		{"unknown", api.Reason{Domain: "toy", Rule: "open"}, ""},
		{"every app's", api.Reason{Domain: "toy", Rule: "malformed"}, apps.remedies[""]["malformed"]},
	} {
		before := c.in
		if got := apps.Advise(&c.in); got.Remedy != c.remedy || got.Rule != c.in.Rule {
			t.Errorf("%s: %+v, want remedy %q", c.name, got, c.remedy)
		}
		if c.in.Remedy != before.Remedy {
			t.Errorf("%s: the reason itself was changed", c.name)
		}
	}
	if apps.Advise(nil) != nil {
		t.Error("a reason out of nothing")
	}
}

// Each rule of this package has a remedy: in the table, or set where it is named, as that of a cut.
func TestEveryRuleHasARemedy(t *testing.T) {
	own, _ := remedies()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`kernelReason\("([a-z-]+)"`).FindAllStringSubmatch(string(b), -1) {
			found++
			if own[m[1]] == "" && m[1] != "cut" {
				t.Errorf("%s: rule %s has no remedy", path, m[1])
			}
		}
	}
	if found < len(own) {
		t.Errorf("%d rules and %d remedies", found, len(own))
	}
}
