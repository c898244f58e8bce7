package app

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

// Whoever reads a no of an app also reads what to do: each rule in an app's sources is in its table of remedies, unless the place that names the rule
// gives a remedy of its own; and the table has no others.
func TestEveryRuleHasARemedy(t *testing.T) {
	for _, a := range Standard(Options{}) {
		name := a.Info().Name
		advised, ok := a.(api.Adviser)
		if !ok {
			t.Errorf("%s has no remedies", name)
			continue
		}
		table := advised.Remedies()
		named := rules(t, name)
		if len(named) == 0 {
			t.Fatalf("%s: no rules found", name)
		}
		for _, rule := range slices.Sorted(maps.Keys(named)) {
			if _, ok := table[rule]; !ok && named[rule] != "" && rule != "malformed" && rule != "unknown-kind" {
				t.Errorf("%s: rule %s has no remedy", named[rule], rule)
			}
		}
		for rule, text := range table {
			if _, ok := named[rule]; !ok {
				t.Errorf("%s: remedy of %s: there is no such rule", name, rule)
			}
			if text == "" || len(text) > 160 || strings.TrimRight(text, ". \n") != text || strings.ToLower(text[:1]) != text[:1] {
				t.Errorf("%s: remedy of %s: %q: want a short sentence, lower case, without a full stop", name, rule, text)
			}
		}
	}
}

// rules finds the rules that an app's sources name as literals: where rule is given to a function that has a parameter of that name, in the field Rule of a
// composite literal, and in assignments to such a field. It returns where each is named without a remedy, or "".
func rules(t *testing.T, app string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(app, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var trees []*ast.File
	at := map[string]int{"Voided": 1} // functions that take a rule, and at which place
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, f)
		ast.Inspect(f, func(n ast.Node) bool {
			if d, ok := n.(*ast.FuncDecl); ok {
				if i := ruleAt(d.Type); i >= 0 && !remedied(d.Body) {
					at[d.Name.Name] = i
				}
			}
			return true
		})
	}
	found := map[string]string{}
	note := func(e ast.Expr, own bool) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		rule, _ := strconv.Unquote(lit.Value)
		if where := fset.Position(lit.Pos()).String(); !own {
			found[rule] = where
		} else if _, had := found[rule]; !had {
			found[rule] = ""
		}
	}
	for _, f := range trees {
		for _, d := range f.Decls {
			fn, _ := d.(*ast.FuncDecl)
			own := fn != nil && remedied(fn.Body)
			ast.Inspect(d, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if i, ok := at[called(n)]; ok && i < len(n.Args) {
						note(n.Args[i], own)
					}
				case *ast.CompositeLit:
					for _, e := range n.Elts {
						if kv, ok := e.(*ast.KeyValueExpr); ok && ident(kv.Key) == "Rule" {
							note(kv.Value, own || remedied(n))
						}
					}
				case *ast.AssignStmt:
					for i, l := range n.Lhs {
						if s, ok := l.(*ast.SelectorExpr); ok && s.Sel.Name == "Rule" && i < len(n.Rhs) {
							note(n.Rhs[i], own)
						}
					}
				}
				return true
			})
		}
	}
	return found
}

// ruleAt returns the place of a parameter called rule, -1 for none.
func ruleAt(f *ast.FuncType) int {
	i := 0
	for _, p := range f.Params.List {
		for _, n := range p.Names {
			if n.Name == "rule" {
				return i
			}
			i++
		}
	}
	return -1
}

// remedied reports whether a piece of source sets a remedy.
func remedied(n ast.Node) (yes bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			yes = yes || ident(n.Key) == "Remedy"
		case *ast.AssignStmt:
			for _, l := range n.Lhs {
				s, ok := l.(*ast.SelectorExpr)
				yes = yes || ok && s.Sel.Name == "Remedy"
			}
		}
		return true
	})
	return yes
}

func ident(e ast.Expr) string {
	id, _ := e.(*ast.Ident)
	if id == nil {
		return ""
	}
	return id.Name
}

func called(c *ast.CallExpr) string {
	if s, ok := c.Fun.(*ast.SelectorExpr); ok {
		return s.Sel.Name
	}
	return ident(c.Fun)
}
