// Command gen writes client/operations_gen.go from the operation table of a node of this build: `go generate ./client`.
package main

import (
	"fmt"
	"os"

	"github.com/intercooperative/icn/client/gen"
	"github.com/intercooperative/icn/node"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func write(path string) error {
	src, err := source()
	if err != nil {
		return err
	}
	return os.WriteFile(path, src, 0o644)
}

func source() ([]byte, error) {
	ops, err := node.Operations()
	if err != nil {
		return nil, err
	}
	return gen.Source(ops)
}
