package icn

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A law is what testdata/arch.txt says. Rules A2 to A5 and the selection ban of A7 need no list and stand in the code.
type law struct {
	zones   []*zone  // which own packages a package may import
	tests   []*zone  // what its test files may import beyond that
	pure    []string // packages, or files with a trailing .go, that do no I/O
	ordered []string // files in which no map is ranged over
	words   map[string]bool
	homes   []*zone  // third-party module prefix -> packages that may import it
	offline []string // packages that open no connection themselves
}

// A zone is one line of a list: a pattern and what it may use.
type zone struct {
	pattern string
	may     []string
}

// inTests in a home's list stands for every test file.
const inTests = "tests"

// parseLaw reads the policy file. Each line is a keyword, a pattern and, after a colon, a list; # starts a comment.
func parseLaw(text string) (*law, error) {
	l := &law{words: map[string]bool{}}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		head, list, listed := strings.Cut(line, ":")
		hs, may := strings.Fields(head), strings.Fields(list)
		if len(hs) < 2 {
			return nil, fmt.Errorf("line %d: %q: want a keyword and a name", i+1, line)
		}
		kind, names := hs[0], hs[1:]
		switch takesList := kind == "zone" || kind == "test" || kind == "home"; {
		case takesList && (!listed || len(names) != 1):
			return nil, fmt.Errorf("line %d: %q: want %s <pattern> : <list>", i+1, line, kind)
		case !takesList && listed:
			return nil, fmt.Errorf("line %d: %q: %s takes names and no colon", i+1, line, kind)
		}
		switch kind {
		case "zone":
			l.zones = append(l.zones, &zone{names[0], may})
		case "test":
			l.tests = append(l.tests, &zone{names[0], may})
		case "home":
			l.homes = append(l.homes, &zone{names[0], may})
		case "pure":
			l.pure = append(l.pure, names...)
		case "offline":
			l.offline = append(l.offline, names...)
		case "ordered":
			l.ordered = append(l.ordered, names...)
		case "word":
			for _, w := range names {
				l.words[w] = true
			}
		default:
			return nil, fmt.Errorf("line %d: keyword %q: want zone, test, pure, ordered, offline, word or home", i+1, kind)
		}
	}
	return l, nil
}

// match reports whether package p matches a pattern: exact, x/* (one level below x) or x/... (x and all below it).
func match(pattern, p string) bool {
	if pre, ok := strings.CutSuffix(pattern, "/..."); ok {
		return p == pre || strings.HasPrefix(p, pre+"/")
	}
	ok, err := path.Match(pattern, p)
	return ok && err == nil
}

func matchAny(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, p) })
}

// zoneOf returns the most specific zone of p: a plain name before a pattern, a longer pattern before a shorter.
func zoneOf(zs []*zone, p string) *zone {
	var best *zone
	for _, z := range zs {
		switch {
		case !match(z.pattern, p):
		case z.pattern == p:
			return z
		case best == nil || len(z.pattern) > len(best.pattern):
			best = z
		}
	}
	return best
}

// A tree is the source of a module and of the modules nested in it, parsed in this process. No child `go list` is asked: the test
// cache keys on files that the test opened itself, so what a child reads can be stale without anybody noticing.
type tree struct {
	module string
	fset   *token.FileSet
	pkgs   map[string]*pkg // by path below module; "." is the root
}

type pkg struct {
	path   string
	nested bool // in a module of its own, outside the daemon's dependency graph
	files  []*file
}

type file struct {
	name    string // path below the root, slashes
	test    bool
	ast     *ast.File
	imports []imp
}

type imp struct {
	path string // import path
	own  string // path below the module, "" for a foreign package
	name string // local name, as far as it can be told without loading the package
	pos  token.Pos
}

// standard reports whether an import path is of the standard library: its first element has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// loadTree parses every Go file below root, whatever its build constraints.
func loadTree(root string) (*tree, error) {
	mod, err := modulePath(root)
	if err != nil {
		return nil, err
	}
	t := &tree{module: mod, fset: token.NewFileSet(), pkgs: map[string]*pkg{}}
	nested := ""
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			base := d.Name()
			if rel != "." && (base == "testdata" || base == "vendor" || base == "node_modules" || base[0] == '.' || base[0] == '_') {
				return filepath.SkipDir
			}
			if rel == "." {
				return nil
			}
			m, err := modulePath(name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case m != mod+"/"+rel:
				return fmt.Errorf("%s/go.mod: module %s: want %s/%s", rel, m, mod, rel)
			}
			nested = rel
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		return t.add(name, rel, nested != "" && strings.HasPrefix(rel, nested+"/"))
	})
	return t, err
}

func (t *tree) add(name, rel string, nested bool) error {
	f, err := parser.ParseFile(t.fset, name, nil, parser.SkipObjectResolution) // comments are left out: prose may say anything
	if err != nil {
		return err
	}
	dir := path.Dir(rel)
	p := t.pkgs[dir]
	if p == nil {
		p = &pkg{path: dir, nested: nested}
		t.pkgs[dir] = p
	}
	out := &file{name: rel, test: strings.HasSuffix(rel, "_test.go"), ast: f}
	for _, s := range f.Imports {
		ip, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			return err
		}
		i := imp{path: ip, name: path.Base(ip), pos: s.Pos()}
		if s.Name != nil {
			i.name = s.Name.Name
		}
		if ip == t.module {
			i.own = "."
		} else if own, ok := strings.CutPrefix(ip, t.module+"/"); ok {
			i.own = own
		}
		out.imports = append(out.imports, i)
	}
	p.files = append(p.files, out)
	return nil
}

// modulePath reads the module line of dir's go.mod.
func modulePath(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if m, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(m), nil
		}
	}
	return "", fmt.Errorf("%s/go.mod: no module line", dir)
}

// sorted returns the packages in path order.
func (t *tree) sorted() []*pkg {
	var ps []*pkg
	for _, p := range t.pkgs {
		ps = append(ps, p)
	}
	slices.SortFunc(ps, func(a, b *pkg) int { return strings.Compare(a.path, b.path) })
	return ps
}

// where renders a position relative to the root.
func (t *tree) where(f *file, pos token.Pos) string {
	return fmt.Sprintf("%s:%d", f.name, t.fset.Position(pos).Line)
}
