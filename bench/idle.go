package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node/config"
)

const (
	passphrase = "correct horse battery staple 42" // of keystores that live as long as the benchmark
	workFactor = 10                                // of scrypt: quick, for the same reason
)

// idle: an icnd whose space holds the imported graph, with two more icnd beside it, does nothing for a while.
func idle(ctx context.Context, b *bench) (rows []result, err error) {
	bin, err := icnd(ctx, b)
	if err != nil {
		return nil, err
	}
	graph, what, err := ratings(b.root)
	if err != nil {
		return nil, err
	}
	dir, err := dataDir(b)
	if err != nil {
		return nil, err
	}
	if err := importInto(ctx, dir, func(ctx context.Context, n *node) error {
		_, err := importGraph(ctx, n, graph)
		return err
	}); err != nil {
		return nil, err
	}
	first, err := daemon(ctx, bin, dir)
	if err != nil {
		return nil, err
	}
	defer first.stop(&err)
	st, err := first.NodeStatus(ctx)
	if err != nil || len(st.Addresses) == 0 {
		return nil, errors.Join(err, errors.New("icnd has no address"))
	}
	for range 2 {
		dir, e := dataDir(b)
		if e != nil {
			return nil, e
		}
		d, e := daemon(ctx, bin, dir, "--bootstrap", st.Addresses[0])
		if e != nil {
			return nil, e
		}
		defer d.stop(&err)
	}
	for {
		st, err := first.NodeStatus(ctx)
		if err != nil {
			return nil, err
		}
		if st.Peers >= 2 {
			break
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of 2 peers: %w", st.Peers, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := sleep(ctx, b.idle); err != nil {
		return nil, err
	}
	rss, before, err := first.usage()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := sleep(ctx, b.idle); err != nil {
		return nil, err
	}
	_, after, err := first.usage()
	if err != nil {
		return nil, err
	}
	note := fmt.Sprintf("%s, 2 peers, after %s", what, b.idle)
	return []result{
		{"idle-rss", rss, "MB", "", 0, 0, note},
		{"idle-cpu", 100 * (after - before).Seconds() / time.Since(begin).Seconds(), "%", "", 0, 0, fmt.Sprintf("of one core, over %s", b.idle)},
	}, nil
}

// icnd builds the daemon and returns the path of its program.
func icnd(ctx context.Context, b *bench) (bin string, err error) {
	bin = filepath.Join(b.dir, "icnd")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "./cmd/icnd")
	build.Dir = b.root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/icnd: %w: %s", err, out)
	}
	return bin, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func dataDir(b *bench) (string, error) {
	dir, err := b.temp()
	if err != nil {
		return "", err
	}
	_, err = config.Init(dir, []byte(passphrase), workFactor)
	return dir, err
}

// importInto runs a node without binding rates on a data directory of icnd, to fill it.
func importInto(ctx context.Context, dir string, fill func(context.Context, *node) error) (err error) {
	id, err := identity.Open(dir, []byte(passphrase))
	if err != nil {
		return err
	}
	_, o := standard(dir)
	n, err := start(o, id)
	if err != nil {
		return err
	}
	defer stopAll(&err, n)
	return fill(ctx, n)
}

// process is an icnd of its own and a connection to it.
type process struct {
	*client.Client
	cmd *exec.Cmd
	log *bytes.Buffer
}

// daemon starts icnd and waits until it answers.
func daemon(ctx context.Context, bin, dir string, args ...string) (*process, error) {
	socket := filepath.Join(dir, "icnd.sock")
	p := &process{log: &bytes.Buffer{}}
	p.cmd = exec.Command(bin, append([]string{"--data-dir", dir, "--listen", "127.0.0.1:0", "--metrics-bind", "off", "--mdns=false", "--log-level", "warn"}, args...)...)
	p.cmd.Env = append(os.Environ(), "ICN_KEYSTORE_PASSPHRASE="+passphrase)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for range 200 {
		c, err := client.Dial(ctx, "unix:"+socket)
		if err == nil {
			if _, err = c.NodeStatus(ctx); err == nil {
				p.Client = c
				return p, nil
			}
			c.Close()
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			break
		}
	}
	err := errors.New("icnd does not answer")
	p.stop(&err)
	return nil, fmt.Errorf("%w: %s", err, p.log)
}

func (p *process) stop(err *error) {
	if p.Client != nil {
		p.Close()
	}
	*err = errors.Join(*err, p.cmd.Process.Signal(syscall.SIGTERM), p.cmd.Wait())
}

// clockTicks is USER_HZ, the unit of processor time in /proc, which is 100 on every Linux port Go knows.
const clockTicks = 100

// memory reads what the kernel of the system knows, in megabytes (10^6 bytes): VmRSS is what is resident, VmHWM the most that ever was.
func (p *process) memory(field string) (mb float64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for s := bufio.NewScanner(bytes.NewReader(status)); s.Scan(); {
		if kb, ok := strings.CutPrefix(s.Text(), field+":"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(kb), " kB"))
			return float64(n) * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc", field)
}

// usage returns resident memory in megabytes, and processor time so far.
func (p *process) usage() (rss float64, cpu time.Duration, err error) {
	if rss, err = p.memory("VmRSS"); err != nil {
		return 0, 0, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, e1 := strconv.Atoi(fields[11])
	system, e2 := strconv.Atoi(fields[12])
	return rss, time.Duration(user+system) * time.Second / clockTicks, errors.Join(e1, e2)
}
