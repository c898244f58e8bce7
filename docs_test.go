package icn

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var mdLink = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`) // relative targets: no scheme, no anchor of the same page

// TestDocLinks checks that what the documents link to is there, and that each decision record stands in the index.
func TestDocLinks(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"docs", "examples"} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err == nil && d.Name() == "node_modules":
				return fs.SkipDir
			case err == nil && strings.HasSuffix(name, ".md"):
				pages = append(pages, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(pages) < 10 {
		t.Fatalf("found %d pages only: %v", len(pages), pages)
	}
	linked := map[string]bool{}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mdLink.FindAllStringSubmatch(string(text), -1) {
			target := filepath.Join(filepath.Dir(page), m[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
			if page == filepath.Join("docs", "adr", "README.md") {
				linked[target] = true
			}
		}
	}
	records, err := filepath.Glob("docs/adr/[0-9]*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if !linked[r] {
			t.Errorf("%s is missing from docs/adr/README.md", r)
		}
	}
}
