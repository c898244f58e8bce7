package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/app/trust"
	"github.com/intercooperative/icn/edge/gateway"
	"github.com/intercooperative/icn/edge/openapi"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
	"github.com/intercooperative/icn/obs"
)

// serveWord is the first argument of this program as a server's process: clients are measured in another one.
const serveWord = "serve"

// doors are where a server's process answers.
type doors struct {
	Gateway string `json:"gateway"`
	Bare    string `json:"bare"`
}

// use is what a server's process has used so far.
type use struct {
	Allocated uint64 `json:"allocated"` // bytes, ever
	Mallocs   uint64 `json:"mallocs"`
	CPU       int64  `json:"cpu"` // ns, of user and system
}

// spent is the processor time that this process has used so far.
func spent() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// serveMain is a node put together as icnd does, with every app, logins, metrics and a gateway that writes its log, but for rates that would bind; and a
// bare server of the same look-up beside it. It answers each line of standard input with what it has used, and ends with it.
func serveMain(args []string) int {
	f := flag.NewFlagSet(serveWord, flag.ExitOnError)
	dir := f.String("dir", "", "data directory")
	profile := f.String("cpuprofile", "", "file for a processor profile")
	_ = f.Parse(args) // it exits
	if err := serve(*dir, *profile); err != nil {
		return fail(err)
	}
	return 0
}

func serve(dir, profile string) (err error) {
	id, err := identity.Generate(rand.Reader)
	if err != nil {
		return err
	}
	u, apps := without(app.Standard(app.Options{Sessions: app.Sessions{Node: record.DIDOf(id.Node())}}))
	log := slog.New(slog.NewJSONHandler(io.Discard, nil)) // formatted, as icnd's is
	reg := obs.NewRegistry()
	n, err := start(kernel.Options{
		DataDir: dir, Apps: apps, AccessDomain: membership.Domain, RateDomain: trust.Domain, GuardDomains: []api.Domain{"security"},
		StrangerRate: api.RateLimit{PerSecond: 1 << 30, Burst: 1 << 30}, Logger: log, Metrics: reg,
	}, id)
	if err != nil {
		return err
	}
	defer stopAll(&err, n)
	doc, err := openapi.Document(n.Operations(), openapi.About())
	if err != nil {
		return err
	}
	g, err := gateway.Listen(gateway.Options{
		Bind: "127.0.0.1:0", Dispatcher: n.Kernel, Authenticate: authenticator(apps), Limit: n.Admit, Ready: func() error { return nil },
		Kept: n.EdgeLocal("gateway"), Docs: openapi.Handler(doc), Log: log, Metrics: reg,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx) }()
	defer func() { cancel(); err = errors.Join(err, <-done) }()
	bare, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: bareBalance(n, u.host), ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(bare) }() // until Close
	defer srv.Close()
	if profile != "" {
		p, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer p.Close()
		if err := pprof.StartCPUProfile(p); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		defer func() {
			a, aerr := os.Create(profile + ".allocs")
			if aerr == nil {
				aerr = errors.Join(pprof.Lookup("allocs").WriteTo(a, 0), a.Close())
			}
			err = errors.Join(err, aerr)
		}()
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(doors{g.Addr().String(), bare.Addr().String()}); err != nil {
		return err
	}
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		cpu, err := spent()
		if err != nil {
			return err
		}
		if err := out.Encode(use{m.TotalAlloc, m.Mallocs, cpu.Nanoseconds()}); err != nil {
			return err
		}
	}
	return nil
}

// authenticator is the session app's.
func authenticator(apps []api.App) func(context.Context, string) (*api.Call, error) {
	for _, a := range apps {
		if s, ok := a.(interface {
			Authenticate(ctx context.Context, bearer string) (*api.Call, error)
		}); ok {
			return s.Authenticate
		}
	}
	return nil
}

// bareBalance answers with an account's balance as nothing but net/http and encoding/json: nobody is asked who they are.
func bareBalance(n *node, h api.Host) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /balance/{did}", func(w http.ResponseWriter, r *http.Request) {
		call := &api.Call{Actor: api.DID(r.PathValue("did"))}
		out, err := n.ops["ledger.balance"].Do(r.Context(), call, &ledger.BalanceIn{Space: h.Follows()[0], DID: call.Actor}, nil)
		var body []byte
		if err == nil {
			body, err = json.Marshal(out)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	return mux
}

// server is a process of serveMain.
type server struct {
	process
	doors
	in  io.WriteCloser
	out *json.Decoder
}

// serving starts a server's process on a data directory.
func serving(b *bench, dir string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{serveWord, "-dir", dir}
	if b.profile != "" {
		b.servers++
		args = append(args, "-cpuprofile", fmt.Sprintf("%s.server%d", b.profile, b.servers))
	}
	s := &server{process: process{cmd: exec.Command(self, args...), log: &bytes.Buffer{}}}
	s.cmd.Stderr = s.log
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.in, s.out = in, json.NewDecoder(out)
	if err := s.out.Decode(&s.doors); err != nil {
		s.end(&err)
		return nil, fmt.Errorf("%w: %s", err, s.log)
	}
	return s, nil
}

// used asks the process what it has used.
func (s *server) used() (u use, err error) {
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		return u, err
	}
	return u, s.out.Decode(&u)
}

func (s *server) end(err *error) { *err = errors.Join(*err, s.in.Close(), s.cmd.Wait()) }
