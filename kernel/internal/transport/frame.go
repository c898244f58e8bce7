package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

const (
	prefix = 4 // bytes of big-endian length in front of each frame
	// maxGreeting bounds a frame before the peer is admitted: the largest Hello is just under 56 KiB, the largest Members under 22.
	maxGreeting = 64 << 10
	bufferSize  = 16 << 10 // of a session's reader and writer each; more is no faster (BenchmarkFrames), and idle peers have them too
)

// errMalformed marks what only a peer that breaks the protocol sends.
var errMalformed = errors.New("malformed")

// readFrame reads one length-prefixed frame of at most limit bytes and returns its size on the stream. The frame owns its memory, which is
// allocated only after the length has been checked. An error that is errMalformed is the peer's fault, any other the stream's.
func readFrame(r *bufio.Reader, limit int) (wire.Frame, int, error) {
	head, err := r.Peek(prefix)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, 0, err
	}
	n := binary.BigEndian.Uint32(head)
	if n == 0 || n > uint32(limit) {
		return nil, 0, api.Errorf("transport.read", api.Invalid, "%w: frame of %d bytes: want 1 to %d", errMalformed, n, limit)
	}
	if _, err := r.Discard(prefix); err != nil {
		return nil, 0, err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, 0, err
	}
	f, err := wire.Decode(b)
	if err != nil {
		return nil, 0, api.Errorf("transport.read", api.Invalid, "%w: %w", errMalformed, err)
	}
	return f, prefix + len(b), nil
}

// encodeFrame returns the frame with its length in front.
func encodeFrame(f wire.Frame) ([]byte, error) {
	b, err := wire.Encode(f)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, prefix+len(b)), uint32(len(b))), b...), nil
}

// maxControl bounds the frames of a session's own keeping that wait: with a peer that does not read them there is no point in more.
const maxControl = 32

// queue holds the encoded frames that wait for one peer. Frames of the session's own keeping go first and have room of their own.
type queue struct {
	mu                  sync.Mutex
	wake                sync.Cond
	control, frames     [][]byte // frames[head:] wait
	head                int
	bytes               int
	maxFrames, maxBytes int
	last                []byte // written after everything else once closed
	closed              bool
}

func newQueue(maxFrames, maxBytes int) *queue {
	q := &queue{maxFrames: maxFrames, maxBytes: maxBytes}
	q.wake.L = &q.mu
	return q
}

// push adds a frame unless the queue is full or closed.
func (q *queue) push(b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.frames)-q.head >= q.maxFrames || q.bytes+len(b) > q.maxBytes {
		return false
	}
	if q.head > 0 && len(q.frames) == cap(q.frames) {
		// Room is at the front: move up instead of growing, so that capacity stays below twice maxFrames.
		n := copy(q.frames, q.frames[q.head:])
		clear(q.frames[n:])
		q.frames, q.head = q.frames[:n], 0
	}
	q.frames = append(q.frames, b)
	q.bytes += len(b)
	q.wake.Signal()
	return true
}

// pushControl adds frames that belong together, in order and ahead of the others, unless there is no room.
func (q *queue) pushControl(bs ...[]byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.control)+len(bs) > maxControl {
		return false
	}
	q.control = append(q.control, bs...)
	q.wake.Signal()
	return true
}

// next takes the next frame. With wait set it blocks until there is one; ok is false when the queue is closed and drained, or, without
// wait, empty.
func (q *queue) next(wait bool) (b []byte, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case len(q.control) > 0:
			b, q.control = q.control[0], q.control[1:]
			return b, true
		case q.head < len(q.frames):
			b = q.frames[q.head]
			q.frames[q.head] = nil
			q.bytes -= len(b)
			if q.head++; q.head == len(q.frames) {
				q.frames, q.head = q.frames[:0], 0
			}
			return b, true
		case q.last != nil:
			b, q.last = q.last, nil
			return b, true
		case q.closed || !wait:
			return nil, false
		}
		q.wake.Wait()
	}
}

// close lets nothing more in. With last set, what waits is still written, and last after it; else what waits is dropped.
func (q *queue) close(last []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed, q.last = true, last
	if last == nil {
		q.control, q.frames, q.head, q.bytes = nil, nil, 0, 0
	}
	q.wake.Broadcast()
}
