//go:build linux || darwin

package kernel

import (
	"fmt"
	"syscall"
)

// Free space of the data directory's disk, and open files.
const (
	leastSpace = 256 << 20
	littleDisk = 1 << 30
	leastFiles = 512
	fewFiles   = 1024
)

func checkSpace(dir string) Check {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return Check{Name: "disk-space", State: CheckFail, Value: err.Error(), Next: "see that the data directory is there"}
	}
	free := s.Bavail * uint64(s.Bsize)
	c := Check{Name: "disk-space", State: CheckOK, Value: megabytes(free) + " free"}
	switch {
	case free < leastSpace:
		c.State, c.Next = CheckFail, "make room now: a node whose disk is full stops"
	case free < littleDisk:
		c.State, c.Next = CheckWarn, "make room: a node whose disk is full stops"
	}
	return c
}

func checkFiles() Check {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return Check{Name: "open-files", State: CheckWarn, Value: err.Error()}
	}
	c := Check{Name: "open-files", State: CheckOK, Value: fmt.Sprintf("%d allowed", l.Cur)}
	next := "raise the limit, such as LimitNOFILE=16384 in the systemd unit"
	switch n := l.Cur; {
	case n < leastFiles:
		c.State, c.Next = CheckFail, next
	case n < fewFiles:
		c.State, c.Next = CheckWarn, next
	}
	return c
}
