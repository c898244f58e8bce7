package kernel

import (
	"context"
	"sync"
	"time"

	"github.com/thejerf/suture/v4"

	"github.com/intercooperative/icn/kernel/internal/clock"
)

// CareOptions are what the node needs to know of its own health.
type CareOptions struct {
	TimeServers  []string      // host or host:port of NTP, three or more; empty: no clock alarm
	TimeInterval time.Duration // between two rounds of questions; default 15 min
	MaxSkew      time.Duration // how far the wall clock may be from the servers' median before somebody is told; default 10 s
	// Checks are what whoever runs the kernel knows and it does not: files, sockets. Each must end with its context.
	Checks []func(context.Context) []Check
}

// care is what the kernel keeps for doctor and snapshots.
type care struct {
	alarm    *clock.Alarm // nil without time servers
	snapshot sync.Mutex   // held while one is written
	section  sync.Mutex   // held while one is folded
}

// initCare refuses a device key that a restored store must not be used with, tells of a clock that was wrong before, and sets the clock alarm up.
func (k *Kernel) initCare() error {
	if err := k.refuseRetired(); err != nil {
		return err
	}
	if err := k.admitWriter(); err != nil {
		return err
	}
	if err := k.sweep(); err != nil {
		k.log.Warn("what a crash has left of a scratch store cannot be removed", "err", err)
	}
	if last, dropped := k.clock.Dropped(); dropped {
		k.log.Warn("this node stamped records with a clock that was far ahead; it follows the wall clock again, and others hold the old records until they are due",
			"stamped", last.Time(), "wall", k.opt.Now())
	}
	o := k.opt.Care
	if len(o.TimeServers) == 0 {
		return nil
	}
	var err error
	k.care.alarm, err = clock.NewAlarm(clock.AlarmOptions{
		Servers: o.TimeServers, Interval: o.TimeInterval, MaxSkew: o.MaxSkew, Wall: k.opt.Now, Log: k.log.With("part", "clock"),
	})
	if err != nil {
		return err
	}
	k.opt.Metrics.GaugeFunc("icn_clock_offset_seconds", "What the wall clock lacks by the median of the time servers; 0 while that is not known.", func() float64 {
		r, _ := k.care.alarm.Last()
		return r.Offset.Seconds()
	})
	k.opt.Metrics.GaugeFunc("icn_clock_servers_good", "Time servers with a good answer in the last round.", func() float64 {
		r, _ := k.care.alarm.Last()
		return float64(r.Good)
	})
	return nil
}

// superviseCare adds the clock alarm to the services, if there is one.
func (k *Kernel) superviseCare(root *suture.Supervisor) {
	if k.care.alarm != nil {
		root.Add(k.care.alarm)
	}
}
