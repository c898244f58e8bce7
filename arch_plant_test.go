package icn

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plantLaw is the policy of the planted trees: small, and with one line of every sort.
const plantLaw = `
zone .                    :
zone codec                :
zone obs                  :
zone kernel               : kernel/api kernel/internal/... codec obs
zone kernel/api           :
zone kernel/internal/...  : kernel/api kernel/internal/... codec obs
zone kernel/kerneltest    : kernel kernel/api
zone app                  : kernel/api app/...
zone app/*                : kernel/api codec app/fact
zone app/fact             : kernel/api codec
zone node                 : kernel kernel/api app codec
zone bench                : kernel
test app/*                : kernel/kerneltest
pure codec kernel/api kernel/internal/gate app/fact app/*/state.go
ordered app/*/state.go
word trust coop vote
offline node
home example.org/kv       : kernel/internal/store
home example.org/prop     : tests kernel/kerneltest
`

// cleanTree returns a tree that keeps the law and goes up to its edges.
func cleanTree() map[string]string {
	return map[string]string{
		"go.mod":       "module example.org/icn\n\ngo 1.26.0\n",
		"doc.go":       "package icn\n",
		"codec/c.go":   "package codec\n",
		"obs/obs.go":   "package obs\nimport _ \"os\"\n",
		"bench/go.mod": "module example.org/icn/bench\n",
		"bench/b.go":   "package main\nimport (\n_ \"example.org/icn/kernel\"\n_ \"example.org/anything\"\n)\n",

		"kernel/api/api.go":              "package api\nimport \"time\"\ntype Set struct{ Custom map[string]any }\nfunc (s Set) C() any { return s.Custom }\nvar At time.Time\n",
		"kernel/kernel.go":               "package kernel\n// A vote of trust, in prose.\nimport _ \"example.org/icn/kernel/internal/store\"\nvar scoop = \"scoop\"\n",
		"kernel/k_test.go":               "package kernel\nvar vote = \"trust\"\n",
		"kernel/kerneltest/t.go":         "package kerneltest\nimport (\n_ \"example.org/icn/kernel\"\n_ \"example.org/prop/gen\"\n)\n",
		"kernel/internal/gate/g.go":      "package gate\nimport (\n\"time\"\n_ \"example.org/icn/kernel/api\"\n)\nfunc F(now time.Time) time.Time { return now.Add(time.Second) }\n",
		"kernel/internal/gate/g_test.go": "package gate\nimport (\n\"time\"\n_ \"example.org/prop\"\n)\nfunc G() { go F(time.Now()) }\n",
		"kernel/internal/store/s.go":     "package store\nimport (\n_ \"os\"\n_ \"example.org/kv/v2\"\n)\n",

		"app/app.go":          "package app\nimport (\n_ \"example.org/icn/app/one\"\n_ \"example.org/icn/app/two\"\n)\n",
		"app/fact/f.go":       "package fact\nimport _ \"example.org/icn/codec\"\n",
		"app/one/state.go":    "package one\nimport (\n\"maps\"\n\"slices\"\n_ \"example.org/icn/app/fact\"\n)\nfunc F(m map[string]int, s []int) {\nfor range s {\n}\nfor range slices.Sorted(maps.Keys(m)) {\n}\n}\n",
		"app/one/intent.go":   "package one\nimport \"time\"\nfunc N() time.Time { return time.Now() }\n",
		"app/one/o_test.go":   "package one_test\nimport (\n_ \"example.org/icn/app/one\"\n_ \"example.org/icn/kernel/kerneltest\"\n)\n",
		"app/two/state.go":    "package two\ntype table map[string]int\n",
		"node/node.go":        "package node\nimport (\n_ \"example.org/icn/app\"\n_ \"example.org/icn/kernel\"\n)\n",
		"testdata/ignored.go": "package broken {",
	}
}

func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		if text == "" {
			continue
		}
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func judge(t *testing.T, policy string, files map[string]string) []string {
	t.Helper()
	l, err := parseLaw(policy)
	if err != nil {
		t.Fatal(err)
	}
	src, err := loadTree(plant(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return l.check(src)
}

func TestCleanTreePasses(t *testing.T) {
	if vs := judge(t, plantLaw, cleanTree()); len(vs) != 0 {
		t.Errorf("clean tree:\n%s", strings.Join(vs, "\n"))
	}
}

// TestPlantedViolations plants one violation at a time and wants exactly the named messages.
func TestPlantedViolations(t *testing.T) {
	imports := func(pkg, path string) string { return "package " + pkg + "\nimport _ \"" + path + "\"\n" }
	const mod = "example.org/icn/"
	for _, c := range []struct {
		name  string
		files map[string]string // added to the clean tree; an empty text removes a file
		law   string            // added to the policy
		want  []string          // each violation contains its text, in order
	}{
		{
			"import outside the zone",
			map[string]string{"node/x.go": imports("node", mod+"obs")},
			"",
			[]string{`A1 node/x.go:2: node imports obs: zone "node" allows`},
		},
		{
			"test import outside the zone",
			map[string]string{"codec/x_test.go": imports("codec_test", mod+"obs")},
			"",
			[]string{"A1 codec/x_test.go:2: codec imports obs"},
		},
		{
			"test list is for tests",
			map[string]string{"app/one/x.go": imports("one", mod+"kernel/kerneltest")},
			"",
			[]string{"A1 app/one/x.go:2: app/one imports kernel/kerneltest"},
		},
		{
			"import behind a build constraint",
			map[string]string{"node/x.go": "//go:build never\n\n" + imports("node", mod+"obs")},
			"",
			[]string{"A1 node/x.go:4: node imports obs"},
		},
		{"package without a zone", map[string]string{"util/u.go": "package util\n"}, "", []string{"A1 util: package has no zone"}},
		{"zone without a package", nil, "zone web :", []string{`A1 testdata/arch.txt: zone "web" has no package`}},
		{
			"nested module outside its zone",
			map[string]string{"bench/x.go": imports("main", mod+"node")},
			"",
			[]string{"A1 bench/x.go:2: bench imports node"},
		},
		{
			"fact imports an app",
			map[string]string{"app/fact/x.go": imports("fact", mod+"app/one")},
			"",
			[]string{"A1 app/fact/x.go:2: app/fact imports app/one", "A6 app/fact/x.go:2: pure file imports app/one"},
		},

		{
			"kernel imports an app",
			map[string]string{"kernel/x.go": imports("kernel", mod+"app/one")},
			"",
			[]string{"A1 kernel/x.go:2", "A2 kernel/x.go:2: kernel depends on app/fact through", "A2 kernel/x.go:2: kernel depends on app/one through"},
		},
		{
			"kernel test imports an app",
			map[string]string{"kernel/internal/store/x_test.go": imports("store", mod+"app/fact")},
			"",
			[]string{"A1 kernel/internal/store/x_test.go:2", "A2 kernel/internal/store/x_test.go:2: kernel/internal/store depends on app/fact"},
		},
		{
			"kernel reaches an app through the base",
			map[string]string{
				"obs/x.go": imports("obs", mod+"node"), "kernel/x.go": imports("kernel", mod+"obs"),
				"node/node.go": "package node\n",
			},
			"",
			[]string{"A1 obs/x.go:2: obs imports node", "A2 kernel/x.go:2: kernel depends on node through example.org/icn/obs"},
		},

		{
			"api imports a module package",
			map[string]string{"kernel/api/x.go": imports("api", mod+"codec")},
			"",
			[]string{"A1 kernel/api/x.go:2", "A3 kernel/api/x.go:2: kernel/api imports example.org/icn/codec"},
		},
		{
			"api imports a third party",
			map[string]string{"kernel/api/x.go": imports("api", "example.org/kv")},
			"",
			[]string{"A3 kernel/api/x.go:2: kernel/api imports example.org/kv", "A8 kernel/api/x.go:2"},
		},

		{
			"app imports app",
			map[string]string{"app/one/x.go": imports("one", mod+"app/two")},
			"",
			[]string{"A4 app/one/x.go:2: app one imports app two"},
		},
		{
			"app test imports app",
			map[string]string{"app/one/x_test.go": imports("one", mod+"app/two")},
			"",
			[]string{"A4 app/one/x_test.go:2: app one imports app two"},
		},

		{
			"app reaches into the kernel",
			map[string]string{"app/one/x.go": imports("one", mod+"kernel/internal/gate")},
			"",
			[]string{"A1 app/one/x.go:2", "A5 app/one/x.go:2: app/one imports kernel/internal/gate: only the kernel may"},
		},

		{
			"pure package does I/O",
			map[string]string{"kernel/internal/gate/x.go": imports("gate", "os/exec")},
			"",
			[]string{"A6 kernel/internal/gate/x.go:2: pure file imports os/exec"},
		},
		{"pure package opens sockets", map[string]string{"codec/x.go": imports("codec", "net")}, "", []string{"A6 codec/x.go:2: pure file imports net"}},
		{"pure package calls the system", map[string]string{"codec/x.go": imports("codec", "syscall")}, "", []string{"A6 codec/x.go:2: pure file imports syscall"}},
		{"pure package draws", map[string]string{"codec/x.go": imports("codec", "math/rand/v2")}, "", []string{"A6 codec/x.go:2: pure file imports math/rand/v2"}},
		{"pure package draws secretly", map[string]string{"codec/x.go": imports("codec", "crypto/rand")}, "", []string{"A6 codec/x.go:2: pure file imports crypto/rand"}},
		{
			"pure package uses an impure one",
			map[string]string{"kernel/internal/gate/x.go": imports("gate", mod+"obs")},
			"",
			[]string{"A6 kernel/internal/gate/x.go:2: pure file imports obs, which is not listed as pure"},
		},
		{
			"pure package starts a goroutine",
			map[string]string{"codec/x.go": "package codec\nfunc F() { go F() }\n"},
			"",
			[]string{"A6 codec/x.go:2: go statement in a pure file"},
		},
		{
			"pure package reads the clock",
			map[string]string{"codec/x.go": "package codec\nimport \"time\"\nvar t = time.Now()\n"},
			"",
			[]string{"A6 codec/x.go:3: time.Now in a pure file"},
		},
		{
			"pure package reads the clock by another name",
			map[string]string{"codec/x.go": "package codec\nimport c \"time\"\nvar f = c.After\n"},
			"",
			[]string{"A6 codec/x.go:3: c.After in a pure file"},
		},
		{
			"pure package sets a deadline",
			map[string]string{"codec/x.go": "package codec\nimport \"context\"\nvar f = context.WithTimeout\n"},
			"",
			[]string{"A6 codec/x.go:3: context.WithTimeout in a pure file"},
		},
		{
			"pure package hides the clock",
			map[string]string{"codec/x.go": "package codec\nimport . \"time\"\nvar t = Now()\n"},
			"",
			[]string{"A6 codec/x.go:2: pure file imports time into its own names"},
		},
		{
			"state file reads the clock",
			map[string]string{"app/two/state.go": "package two\nimport \"time\"\nvar t = time.Now()\n"},
			"",
			[]string{"A6 app/two/state.go:3: time.Now"},
		},
		{"state file ranges over a map", map[string]string{
			"app/two/state.go": "package two\nfunc F(t table) {\nfor range t {\n}\n}\n",
			"app/two/table.go": "package two\ntype table map[string]int\n",
		}, "", []string{"A6 app/two/state.go:3: range over a map"}},
		{
			"state file ranges over a map's keys",
			map[string]string{"app/two/state.go": "package two\nimport \"maps\"\nfunc F(t map[int]int) {\nfor range maps.Keys(t) {\n}\n}\n"},
			"",
			[]string{"A6 app/two/state.go:4: range over a map"},
		},
		{"pure pattern without a file", nil, "pure app/*/gone.go", []string{`A6 testdata/arch.txt: "app/*/gone.go" covers no file`}},

		{
			"kernel name speaks of meaning",
			map[string]string{"kernel/x.go": "package kernel\nvar minTrustScore = 4\n"},
			"",
			[]string{`A7 kernel/x.go:2: "minTrustScore" says "trust"`},
		},
		{"kernel string speaks of meaning", map[string]string{"kernel/x.go": "package kernel\nvar s = \"a\\nco-op/coop_ids\"\n"}, "", []string{`says "coop"`}},
		{"kernel tag speaks of meaning", map[string]string{"kernel/x.go": "package kernel\ntype t struct { A int `json:\"votes\"` }\n"}, "", []string{`says "votes"`}},
		{"kernel file name speaks of meaning", map[string]string{"kernel/vote.go": "package kernel\n"}, "", []string{`"kernel/vote" says "vote"`}},
		{"test double speaks of meaning", map[string]string{"kernel/kerneltest/x.go": "package kerneltest\ntype AllowVote struct{}\n"}, "", []string{`"AllowVote" says "vote"`}},
		{
			"kernel reads Custom",
			map[string]string{"kernel/x.go": "package kernel\nimport \"example.org/icn/kernel/api\"\nfunc F(s api.Set) any { return s.Custom[\"x\"] }\n"},
			"",
			[]string{"A7 kernel/x.go:3: selects .Custom"},
		},

		{
			"third party away from home",
			map[string]string{"node/x.go": imports("node", "example.org/kv/v2/fs")},
			"",
			[]string{"A8 node/x.go:2: node imports example.org/kv/v2/fs: its home is [kernel/internal/store]"},
		},
		{"who is offline opens a connection", map[string]string{"node/x.go": imports("node", "net/http")}, "", []string{"A9 node/x.go:2: node imports net/http"}},
		{"a test of who is offline may", map[string]string{"node/x_test.go": imports("node", "net")}, "", nil},
		{"third party for tests only", map[string]string{"codec/x.go": imports("codec", "example.org/prop")}, "", []string{"A8 codec/x.go:2: codec imports example.org/prop"}},
		{
			"third party without a home",
			map[string]string{"node/x.go": imports("node", "example.org/kvx")},
			"",
			[]string{"A8 node/x.go:2: example.org/kvx has no home"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := cleanTree()
			maps.Copy(files, c.files)
			got := judge(t, plantLaw+c.law+"\n", files)
			if len(got) != len(c.want) {
				t.Fatalf("got %d violations, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("violation %d: got %q, want %q in it", i, got[i], want)
				}
			}
		})
	}
}

// TestCompilerKeepsInternal shows that A5 needs no test: the go command refuses the import.
func TestCompilerKeepsInternal(t *testing.T) {
	files := map[string]string{
		"go.mod":                    "module example.org/icn\n\ngo 1.26.0\n",
		"kernel/internal/gate/g.go": "package gate\n",
		"app/one/one.go":            "package one\nimport _ \"example.org/icn/kernel/internal/gate\"\n",
	}
	cmd := exec.Command("go", "list", "-deps", "./app/one")
	cmd.Dir = plant(t, files)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "use of internal package") {
		t.Errorf("go list: error %v, output %s; want a refusal", err, out)
	}
}

func TestParts(t *testing.T) {
	for text, want := range map[string][]string{
		"minTrustScore": {"min", "trust", "score"},
		"HTTPVote":      {"http", "vote"},
		"http_vote-v2!": {"http", "vote", "v"},
		"scoop":         {"scoop"},
		"coopID":        {"coop", "id"},
		"":              nil,
		"Übertrust":     {"übertrust"},
	} {
		if got := parts(text); !slices.Equal(got, want) {
			t.Errorf("parts(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestParseLawRefuses(t *testing.T) {
	for _, line := range []string{"zone a", "zone a b : c", "zone", "pure a : b", "zones a : b", "home : x"} {
		if _, err := parseLaw(line); err == nil {
			t.Errorf("%q: accepted", line)
		}
	}
}
