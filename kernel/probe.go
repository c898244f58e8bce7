package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"time"
)

// Bounds of the question whether somebody answers.
const (
	maxProbes   = 8
	probeTries  = 3
	probeWithin = 500 * time.Millisecond // for one try; the answer comes from this machine
)

// probe asks whether something that speaks QUIC answers at host:port. It sends a packet of a version that nobody speaks, to which the answer is a list
// of those that are spoken (RFC 8999 section 6): no session is begun, and no key is shown.
func probe(ctx context.Context, hostPort string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", hostPort)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	// A long header: version, then the two connection ids with their lengths. Whoever lists versions answers no packet shorter than 1200 bytes.
	q := make([]byte, 1200)
	q[0] = 0xc0
	binary.BigEndian.PutUint32(q[1:], 0x1a2a3a4a) // of those reserved for this use
	q[5] = 8
	copy(q[6:14], "icnprobe")
	q[14] = 8
	copy(q[15:23], "whoisit?")
	answer := make([]byte, 1500)
	for range probeTries {
		if _, err = c.Write(q); err != nil {
			return err
		}
		if err = c.SetReadDeadline(time.Now().Add(probeWithin)); err != nil {
			return err
		}
		var n int
		if n, err = c.Read(answer); err == nil {
			if n < 23 || answer[0]&0x80 == 0 || binary.BigEndian.Uint32(answer[1:]) != 0 {
				return errors.New("something else answers")
			}
			return nil
		}
	}
	return err
}
