// Package blob keeps bytes under their hash: images and other things too large for a record, which records name. It knows nothing of records: who may
// read what, and what is still named, its caller says.
//
// A blob's hash is the BLAKE3 digest of its bytes, 32 of them. On disk each is one file, which has a header with who brought it and when before the bytes, in a folder
// by the first byte of the hash; it appears whole or not at all. What is read is hashed again: a damaged file is reported as that and taken away, so
// that it can be fetched anew.
//
// Clean takes out of images what the camera wrote beside the picture: where it was taken, when, and with what.
package blob

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"lukechampine.com/blake3"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// MaxSize bounds a blob, in bytes.
const MaxSize = 1 << 20

// Sum is the hash of a blob.
func Sum(b []byte) api.Hash { return blake3.Sum256(b) }

// Options say where blobs lie and how many bytes there may be.
type Options struct {
	Dir   string // made if need be; empty: in memory
	Quota int64  // bytes of all blobs
	Each  int64  // bytes of those of one owner
}

// Info is what is known of a blob without reading it.
type Info struct {
	Size  int64
	Owner api.DID   // who brought it, or in whose record it was named
	Added time.Time // on this node
}

// Store keeps blobs. It is safe for concurrent use.
type Store struct {
	opt Options

	mu    sync.Mutex
	blobs map[api.Hash]Info
	mem   map[api.Hash][]byte // without a Dir
	bytes int64
	owned map[api.DID]int64
}

const (
	magic     = "icnblob1"
	maxHeader = 256
	temporary = "new-" // begins the names of files that are being written
)

// header stands before the bytes in a file.
type header struct {
	_     struct{} `cbor:",toarray"`
	Owner api.DID
	Added int64 // Unix milliseconds
	Size  int64
}

// Open reads what there is. What a crash left half written is taken away.
func Open(o Options) (*Store, error) {
	s := &Store{opt: o, blobs: map[api.Hash]Info{}, mem: map[api.Hash][]byte{}, owned: map[api.DID]int64{}}
	if o.Dir == "" {
		return s, nil
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, api.Errorf("blob.open", api.Internal, "%w", err)
	}
	err := filepath.WalkDir(o.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		h, err := api.ParseHash(d.Name())
		if err != nil || path != s.path(h) {
			if len(d.Name()) > len(temporary) && d.Name()[:len(temporary)] == temporary {
				return os.Remove(path)
			}
			return nil // not ours
		}
		info, err := readInfo(path)
		if err != nil {
			return os.Remove(path)
		}
		s.noteLocked(h, info)
		return nil
	})
	if err != nil {
		return nil, api.Errorf("blob.open", api.Internal, "%w", err)
	}
	return s, nil
}

func (s *Store) path(h api.Hash) string {
	name := h.String()
	return filepath.Join(s.opt.Dir, name[:2], name)
}

func readInfo(path string) (Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(len(magic)+1+maxHeader)))
	if err != nil {
		return Info{}, err
	}
	x, rest, err := split(b)
	if err != nil {
		return Info{}, err
	}
	st, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	if st.Size() != int64(len(b)-len(rest))+x.Size {
		return Info{}, errDamaged
	}
	return Info{Size: x.Size, Owner: x.Owner, Added: time.UnixMilli(x.Added)}, nil
}

var errDamaged = errors.New("the file is not whole")

// split takes the header off a file.
func split(b []byte) (x header, rest []byte, err error) {
	b, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(b) < 2 {
		return x, nil, errDamaged
	}
	n := int(binary.BigEndian.Uint16(b))
	if n > maxHeader-2 || len(b) < 2+n || codec.Unmarshal(b[2:2+n], &x) != nil || x.Size <= 0 || x.Size > MaxSize {
		return x, nil, errDamaged
	}
	return x, b[2+n:], nil
}

func (s *Store) noteLocked(h api.Hash, i Info) {
	s.blobs[h] = i
	s.bytes += i.Size
	s.owned[i.Owner] += i.Size
}

// Put keeps b, in owner's name, and returns its hash. What is there already stays as it is. TooLarge: an empty or too large blob, or no room left for it.
func (s *Store) Put(b []byte, owner api.DID, now time.Time) (api.Hash, error) {
	const op = "blob.put"
	h := Sum(b)
	if len(b) == 0 || len(b) > MaxSize {
		return h, api.Errorf(op, api.TooLarge, "a blob of %d bytes: want 1 to %d", len(b), MaxSize)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.blobs[h]; ok {
		return h, nil
	}
	i := Info{Size: int64(len(b)), Owner: owner, Added: now}
	if s.bytes+i.Size > s.opt.Quota {
		return h, api.Errorf(op, api.TooLarge, "this node keeps blobs of %d bytes, of at most %d: no room for %d more", s.bytes, s.opt.Quota, i.Size)
	}
	if s.owned[owner]+i.Size > s.opt.Each {
		return h, api.Errorf(op, api.TooLarge, "this node keeps blobs of %d bytes for %s, of at most %d: no room for %d more", s.owned[owner], owner, s.opt.Each, i.Size)
	}
	if s.opt.Dir == "" {
		s.mem[h] = bytes.Clone(b)
	} else if err := s.write(h, i, b); err != nil {
		return h, api.Errorf(op, api.Internal, "%w", err)
	}
	s.noteLocked(h, i)
	return h, nil
}

// write makes the file whole under another name first.
func (s *Store) write(h api.Hash, i Info, b []byte) (err error) {
	head := codec.MustMarshal(&header{Owner: i.Owner, Added: i.Added.UnixMilli(), Size: i.Size})
	if len(head) > maxHeader-2 {
		return api.Errorf("blob.put", api.Invalid, "owner of %d bytes: too long", len(i.Owner))
	}
	path := s.path(h)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, temporary)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	all := append([]byte(magic), byte(len(head)>>8), byte(len(head)))
	if _, err := f.Write(append(append(all, head...), b...)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Get reads a blob and checks it. NotFound: it is not here, or was damaged and is not here any more.
func (s *Store) Get(h api.Hash) ([]byte, error) {
	const op = "blob.get"
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.blobs[h]; !ok {
		return nil, api.Errorf(op, api.NotFound, "blob %s: not on this node", h.Short())
	}
	if s.opt.Dir == "" {
		return bytes.Clone(s.mem[h]), nil
	}
	all, err := os.ReadFile(s.path(h))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, api.Errorf(op, api.Internal, "%w", err)
	}
	_, b, bad := split(all)
	if err != nil || bad != nil || Sum(b) != h {
		if err := s.removeLocked(h); err != nil {
			return nil, err
		}
		return nil, api.Errorf(op, api.NotFound, "blob %s: was damaged on this node's disk and has been taken away; it is fetched again from who has it", h.Short())
	}
	return b, nil
}

// Stat returns what is known of a blob.
func (s *Store) Stat(h api.Hash) (Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.blobs[h]
	return i, ok
}

// Sweep removes what was added before a time and is not in use, and returns how many blobs that were.
func (s *Store) Sweep(before time.Time, inUse func(api.Hash) bool) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range slices.SortedFunc(maps.Keys(s.blobs), api.Hash.Compare) {
		if s.blobs[h].Added.Before(before) && !inUse(h) {
			if err := s.removeLocked(h); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

func (s *Store) removeLocked(h api.Hash) error {
	if s.opt.Dir != "" {
		if err := os.Remove(s.path(h)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return api.Errorf("blob.remove", api.Internal, "%w", err)
		}
	}
	i := s.blobs[h]
	delete(s.blobs, h)
	delete(s.mem, h)
	s.bytes -= i.Size
	if s.owned[i.Owner] -= i.Size; s.owned[i.Owner] <= 0 {
		delete(s.owned, i.Owner)
	}
	return nil
}

// Usage returns how many blobs there are and how many bytes they have.
func (s *Store) Usage() (blobs int, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.blobs), s.bytes
}

// Room returns how many more bytes may be kept in an owner's name.
func (s *Store) Room(owner api.DID) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(min(s.opt.Quota-s.bytes, s.opt.Each-s.owned[owner]), 0)
}
