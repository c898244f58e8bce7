package main

import (
	"bytes"
	"os"
	"testing"
)

func TestClientIsUpToDate(t *testing.T) {
	want, err := source()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../client/operations_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("client/operations_gen.go is not what the operation table gives: run `make generate` and look at the difference")
	}
}
