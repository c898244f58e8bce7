// Command gen writes what is made from the operation table of a node of this build: client/operations_gen.go, docs/openapi.json, the table of
// operations in docs/api.md, and docs/kinds.json and client/kinds.json, which are what the operation record.kinds answers. `go generate ./client` runs it, in client.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/intercooperative/icn/client/gen"
	"github.com/intercooperative/icn/edge/openapi"
	"github.com/intercooperative/icn/node"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen ROOT")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func write(root string) error {
	files, err := generate(root)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the files by name below root.
func generate(root string) (map[string][]byte, error) {
	ops, err := node.Operations()
	if err != nil {
		return nil, err
	}
	events, err := node.EventTypes()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	if files["client/operations_gen.go"], err = gen.Source(ops); err != nil {
		return nil, err
	}
	if files["docs/openapi.json"], err = openapi.Document(ops, openapi.About(), events...); err != nil {
		return nil, err
	}
	if files[page], err = withTable(root, ops); err != nil {
		return nil, err
	}
	for _, op := range ops {
		if op.Name != "record.kinds" {
			continue
		}
		kinds, err := op.Do(context.Background(), nil, reflect.New(op.In).Interface(), nil) // the same for everybody, and on a node that does not run
		if err != nil {
			return nil, err
		}
		b, err := json.MarshalIndent(kinds, "", " ")
		if err != nil {
			return nil, err
		}
		files["docs/kinds.json"] = append(b, '\n')
		if b, err = json.Marshal(kinds); err != nil {
			return nil, err
		}
		files["client/kinds.json"] = append(b, '\n')
	}
	return files, nil
}
