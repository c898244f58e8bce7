package icn

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// check holds a tree against the law and returns the violations, each starting with the rule's number.
func (l *law) check(t *tree) []string {
	var out []string
	report := func(rule, where, format string, args ...any) {
		out = append(out, rule+" "+where+": "+fmt.Sprintf(format, args...))
	}
	l.imports(t, report)
	l.kernel(t, report)
	l.apps(t, report)
	l.purity(t, report)
	l.blindness(t, report)
	l.thirdParty(t, report)
	l.connections(t, report)
	return out
}

type reporter func(rule, where, format string, args ...any)

// imports is A1: what a package imports of this module, tests included, is in its zone's list; every package has a zone and every zone a package.
func (l *law) imports(t *tree, report reporter) {
	used := map[*zone]bool{}
	for _, p := range t.sorted() {
		z := zoneOf(l.zones, p.path)
		if z == nil {
			report("A1", p.path, "package has no zone in testdata/arch.txt")
			continue
		}
		used[z] = true
		for _, f := range p.files {
			may := z.may
			if f.test {
				if extra := zoneOf(l.tests, p.path); extra != nil {
					may = slices.Concat(may, extra.may)
				}
			}
			for _, i := range f.imports {
				if i.own == "" || i.own == p.path || betweenApps(p.path, i.own) || matchAny(may, i.own) {
					continue
				}
				report("A1", t.where(f, i.pos), "%s imports %s: zone %q allows %v", p.path, i.own, z.pattern, may)
			}
		}
	}
	for _, z := range l.zones {
		if !used[z] {
			report("A1", "testdata/arch.txt", "zone %q has no package: delete or rename it", z.pattern)
		}
	}
}

// belowKernel is all that may stand in the kernel's import closure.
var belowKernel = []string{"kernel/...", "codec", "crypto/...", "obs"}

// kernel is A2, A3 and A5: the kernel's closure, tests included, holds nothing above it; kernel/api imports the standard library only;
// nobody else reaches into kernel/internal (the compiler says so too, this says why).
func (l *law) kernel(t *tree, report reporter) {
	for _, p := range t.sorted() {
		for _, f := range p.files {
			for _, i := range f.imports {
				if match("kernel/internal/...", i.own) && !match("kernel/...", p.path) {
					report("A5", t.where(f, i.pos), "%s imports %s: only the kernel may", p.path, i.own)
				}
			}
		}
		if !match("kernel/...", p.path) {
			continue
		}
		for _, f := range p.files {
			for _, i := range f.imports {
				if p.path == "kernel/api" && !f.test && !standard(i.path) {
					report("A3", t.where(f, i.pos), "kernel/api imports %s: it may use the standard library only", i.path)
				}
				for _, to := range t.closure(i.own) {
					if !matchAny(belowKernel, to) {
						report("A2", t.where(f, i.pos), "%s depends on %s through %s: nothing under kernel/ may", p.path, to, i.path)
					}
				}
			}
		}
	}
}

// closure returns own and all that it imports without tests, in order; nothing for "". It does not look behind packages of the kernel: what
// they import is reported where they import it.
func (t *tree) closure(own string) []string {
	seen := map[string]bool{}
	var walk func(string)
	walk = func(own string) {
		if own == "" || seen[own] {
			return
		}
		seen[own] = true
		if p := t.pkgs[own]; p != nil && !match("kernel/...", own) {
			for _, f := range p.files {
				for _, i := range f.imports {
					if !f.test {
						walk(i.own)
					}
				}
			}
		}
	}
	walk(own)
	return slices.Sorted(maps.Keys(seen))
}

// betweenApps reports whether both ends of an import lie in some app/<name>, be it the same; app/fact is no app.
func betweenApps(from, to string) bool {
	a, ok := appOf(from)
	b, ok2 := appOf(to)
	return ok && ok2 && a != "fact" && b != "fact"
}

func appOf(p string) (string, bool) {
	rest, ok := strings.CutPrefix(p, "app/")
	name, _, _ := strings.Cut(rest, "/")
	return name, ok
}

// apps is A4: no app imports another. It declares the interface it needs; package app supplies it.
func (l *law) apps(t *tree, report reporter) {
	for _, p := range t.sorted() {
		for _, f := range p.files {
			for _, i := range f.imports {
				a, _ := appOf(p.path)
				if b, _ := appOf(i.own); betweenApps(p.path, i.own) && a != b {
					report("A4", t.where(f, i.pos), "app %s imports app %s: declare an interface, or cite a fact", a, b)
				}
			}
		}
	}
}

// impure lists what a pure file may not import; the packages below each are meant too.
var impure = []string{"net/...", "os/...", "syscall/...", "io/ioutil", "log", "math/rand/...", "crypto/rand", "plugin", "golang.org/x/sys/..."}

// wallClock lists the functions that read the wall clock or start a goroutine, by package.
var wallClock = map[string][]string{
	"time":    {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
	"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause", "AfterFunc"},
}

// purity is A6: pure files do no I/O, read no clock, start no goroutine, and import of this module only what is pure; ordered files
// range over no map.
func (l *law) purity(t *tree, report reporter) {
	used := map[string]bool{}
	covered := func(patterns []string, p *pkg, f *file) (hit bool) {
		for _, pattern := range patterns {
			if match(pattern, p.path) || match(pattern, f.name) {
				used[pattern] = true
				hit = true
			}
		}
		return hit && !f.test
	}
	for _, p := range t.sorted() {
		for _, f := range p.files {
			if covered(l.pure, p, f) {
				l.pureFile(t, f, report)
			}
			if covered(l.ordered, p, f) {
				orderedFile(t, p, f, report)
			}
		}
	}
	for _, pattern := range slices.Concat(l.pure, l.ordered) {
		if !used[pattern] {
			report("A6", "testdata/arch.txt", "%q covers no file: delete or rename it", pattern)
		}
	}
}

func (l *law) pureFile(t *tree, f *file, report reporter) {
	clocks := map[string][]string{}
	for _, i := range f.imports {
		switch {
		case matchAny(impure, i.path):
			report("A6", t.where(f, i.pos), "pure file imports %s", i.path)
		case i.own != "" && !matchAny(l.pure, i.own):
			report("A6", t.where(f, i.pos), "pure file imports %s, which is not listed as pure", i.own)
		case i.name == ".":
			report("A6", t.where(f, i.pos), "pure file imports %s into its own names", i.path)
		}
		if fs := wallClock[i.path]; fs != nil {
			clocks[i.name] = fs
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report("A6", t.where(f, n.Pos()), "go statement in a pure file")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && slices.Contains(clocks[x.Name], n.Sel.Name) {
				report("A6", t.where(f, n.Pos()), "%s.%s in a pure file: take the time as an argument", x.Name, n.Sel.Name)
			}
		}
		return true
	})
}

// nothing imports every package as an empty one, so that a package can be type-checked alone: its own maps are seen, foreign types are not.
type nothing struct{}

func (nothing) Import(p string) (*types.Package, error) {
	q := types.NewPackage(p, path.Base(p))
	q.MarkComplete()
	return q, nil
}

func orderedFile(t *tree, p *pkg, f *file, report reporter) {
	var files []*ast.File
	for _, g := range p.files {
		if !g.test {
			files = append(files, g.ast)
		}
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: nothing{}, Error: func(error) {}} // what is foreign does not resolve, and need not
	_, _ = conf.Check(p.path, t.fset, files, info)
	ast.Inspect(f.ast, func(n ast.Node) bool {
		r, ok := n.(*ast.RangeStmt)
		if !ok {
			return true
		}
		bad := false
		if ty := info.TypeOf(r.X); ty != nil {
			_, bad = ty.Underlying().(*types.Map)
		}
		if c, ok := r.X.(*ast.CallExpr); ok {
			if s, ok := c.Fun.(*ast.SelectorExpr); ok {
				x, ok := s.X.(*ast.Ident)
				bad = bad || ok && x.Name == "maps"
			}
		}
		if bad {
			report("A6", t.where(f, r.Pos()), "range over a map: its order differs from node to node; use slices.Sorted(maps.Keys(m))")
		}
		return true
	})
}

// blindness is A7: no name or string under kernel/ speaks an app's language, and nobody reads ConstraintSet.Custom.
func (l *law) blindness(t *tree, report reporter) {
	for _, p := range t.sorted() {
		if !match("kernel/...", p.path) {
			continue
		}
		for _, f := range p.files {
			if f.test {
				continue
			}
			say := func(pos token.Pos, text string) {
				if w := l.appWord(text); w != "" {
					report("A7", t.where(f, pos), "%q says %q, an app's word", text, w)
				}
			}
			say(f.ast.Package, strings.TrimSuffix(f.name, ".go"))
			ast.Inspect(f.ast, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.ImportSpec:
					return false
				case *ast.Ident:
					say(n.Pos(), n.Name)
				case *ast.BasicLit:
					if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
						say(n.Pos(), text)
					}
				case *ast.SelectorExpr:
					if n.Sel.Name == "Custom" && p.path != "kernel/api" {
						report("A7", t.where(f, n.Sel.Pos()), "selects .Custom: the kernel enforces typed fields only")
					}
				}
				return true
			})
		}
	}
}

// appWord returns the first listed word among the parts of a text, in singular or plural; "" for none.
func (l *law) appWord(text string) string {
	for _, part := range parts(text) {
		if l.words[part] || l.words[strings.TrimSuffix(part, "s")] {
			return part
		}
	}
	return ""
}

// parts splits a text at everything that is no letter and at the humps of camel case, in lower case: HTTPVote, http_vote and "http-vote!" are
// all http and vote, and scoop is one part.
func parts(text string) []string {
	var out []string
	rs := []rune(text)
	start := 0
	cut := func(i int) {
		if i > start {
			out = append(out, strings.ToLower(string(rs[start:i])))
		}
		start = i
	}
	for i, r := range rs {
		switch {
		case !unicode.IsLetter(r):
			cut(i)
			start = i + 1
		case i == 0 || !unicode.IsUpper(r):
		case unicode.IsLower(rs[i-1]) || unicode.IsUpper(rs[i-1]) && i+1 < len(rs) && unicode.IsLower(rs[i+1]):
			cut(i)
		}
	}
	cut(len(rs))
	return out
}

// thirdParty is A8: each third-party module has a home, and nobody else imports it. Nested modules are outside the daemon's graph.
func (l *law) thirdParty(t *tree, report reporter) {
	for _, p := range t.sorted() {
		if p.nested {
			continue
		}
		for _, f := range p.files {
			for _, i := range f.imports {
				if i.own != "" || standard(i.path) {
					continue
				}
				h := homeOf(l.homes, i.path)
				switch {
				case h == nil:
					report("A8", t.where(f, i.pos), "%s has no home in testdata/arch.txt", i.path)
				case f.test && slices.Contains(h.may, inTests), matchAny(h.may, p.path):
				default:
					report("A8", t.where(f, i.pos), "%s imports %s: its home is %v", p.path, i.path, h.may)
				}
			}
		}
	}
}

// homeOf returns the home with the longest prefix of an import path.
func homeOf(hs []*zone, importPath string) *zone {
	var best *zone
	for _, h := range hs {
		if match(h.pattern+"/...", importPath) && (best == nil || len(h.pattern) > len(best.pattern)) {
			best = h
		}
	}
	return best
}

// connections is A9: who is offline imports nothing of net but in tests.
func (l *law) connections(t *tree, report reporter) {
	used := map[string]bool{}
	for _, p := range t.sorted() {
		for _, pattern := range l.offline {
			if !match(pattern, p.path) {
				continue
			}
			used[pattern] = true
			for _, f := range p.files {
				for _, i := range f.imports {
					if !f.test && match("net/...", i.path) {
						report("A9", t.where(f, i.pos), "%s imports %s: it opens no connection itself", p.path, i.path)
					}
				}
			}
		}
	}
	for _, pattern := range l.offline {
		if !used[pattern] {
			report("A9", "testdata/arch.txt", "%q covers no package: delete or rename it", pattern)
		}
	}
}
