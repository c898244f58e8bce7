package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// The disk's sync decides how long a write takes.
const (
	syncTries = 5
	slowSync  = 50 * time.Millisecond
)

// checkSync measures how long the disk of the data directory takes to keep 4 KiB.
func checkSync(dir string) Check {
	took, err := measureSync(dir)
	if err != nil {
		return Check{Name: "disk-sync", State: CheckFail, Value: err.Error(), Next: "see that the data directory belongs to the node's user and that the disk is sound"}
	}
	c := Check{Name: "disk-sync", State: CheckOK, Value: fmt.Sprintf("%s to keep 4 KiB, median of %d", took.Round(10*time.Microsecond), syncTries)}
	if took > slowSync {
		c.State, c.Next = CheckWarn, "each write waits for this; put the data directory on a solid-state disk"
	}
	return c
}

func measureSync(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, ".icn-doctor-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var took []time.Duration
	block := make([]byte, 4<<10)
	for range syncTries {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// wantBuffer is what QUIC wants of the kernel's UDP buffers, in bytes.
const wantBuffer = 7_500_000

func checkBuffers() Check {
	c := Check{Name: "udp-buffers", State: CheckOK}
	var small []string
	for _, name := range []string{"rmem_max", "wmem_max"} {
		b, err := os.ReadFile("/proc/sys/net/core/" + name)
		if err != nil {
			c.State, c.Value = CheckSkip, "only Linux says"
			if !errors.Is(err, fs.ErrNotExist) {
				c.Value = err.Error()
			}
			return c
		}
		var n int
		if _, err := fmt.Sscan(string(b), &n); err == nil && n < wantBuffer {
			small = append(small, fmt.Sprintf("net.core.%s=%d", name, wantBuffer))
		}
		c.Value += fmt.Sprintf("%s %d ", name, n)
	}
	c.Value = strings.TrimSpace(c.Value)
	if len(small) > 0 {
		c.State, c.Next = CheckWarn, "on a busy node, as root: sysctl -w "+strings.Join(small, " ")
	}
	return c
}
