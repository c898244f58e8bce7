package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/client/gen"
	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node"
)

const root = "../.."

func TestFilesAreUpToDate(t *testing.T) {
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 3 {
		t.Fatalf("%d files only", len(files))
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the operation table gives: run `make generate` and look at the difference", name)
		}
	}
}

// TestClientCoversEveryOperation calls each method of the Go client: each operation has one that asks for it by its name, and none asks for anything else.
func TestClientCoversEveryOperation(t *testing.T) {
	ops, err := node.Operations()
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	c := client.New(here)
	defer c.Close()
	asked := make(chan string, 1)
	go func() { // a node that refuses all, and tells what it was asked
		r := jsonrpc.NewReader(there, jsonrpc.MaxMessage)
		for {
			msg, err := r.Next()
			if err != nil {
				close(asked)
				return
			}
			var q jsonrpc.Request
			if err := json.Unmarshal(msg, &q); err != nil || q.Method == jsonrpc.MethodCancel {
				continue
			}
			asked <- q.Method
			b, _ := json.Marshal(jsonrpc.Response{ID: q.ID, Error: jsonrpc.ErrorOf(api.Errorf(q.Method, api.Refused, "no"))})
			if _, err := there.Write(append(b, '\n')); err != nil {
				return
			}
		}
	}()
	left := map[string]bool{}
	for m := range reflect.TypeOf(c).Methods() {
		left[m.Name] = true
	}
	for _, general := range []string{"Call", "Stream", "Session", "Close"} {
		delete(left, general)
	}
	for _, op := range ops {
		name := gen.GoName(op.Name)
		m := reflect.ValueOf(c).MethodByName(name)
		if !m.IsValid() {
			t.Errorf("%s: the client has no method %s", op.Name, name)
			continue
		}
		delete(left, name)
		args := []reflect.Value{reflect.ValueOf(context.Background())}
		for i := 1; i < m.Type().NumIn(); i++ {
			if in := m.Type().In(i); !m.Type().IsVariadic() || i < m.Type().NumIn()-1 {
				args = append(args, reflect.Zero(in))
			}
		}
		out := m.Call(args)
		if err, _ := out[len(out)-1].Interface().(error); api.KindOf(err) != api.Refused {
			t.Errorf("%s: %v", name, err)
		}
		if got := <-asked; got != op.Name {
			t.Errorf("%s asks for %s, want %s", name, got, op.Name)
		}
		if op.Write != m.Type().IsVariadic() {
			t.Errorf("%s: takes options for writes: %t, is a write: %t", name, m.Type().IsVariadic(), op.Write)
		}
	}
	for name := range left {
		t.Errorf("the client's method %s is no operation", name)
	}
}
