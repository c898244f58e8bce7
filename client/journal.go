package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/intercooperative/icn/kernel/api"
)

// maxBook bounds the file of a journal, in bytes: an envelope for each of a hundred feeds.
const maxBook = 16 << 20

// Journal keeps a Book where a crash does not take it. A device has one, for good: a signature that its journal does not know is one that it may repeat.
type Journal interface {
	// Lock waits until nobody else reads or writes the journal, in this process or another, and returns what ends that.
	Lock(ctx context.Context) (unlock func(), err error)
	Load() (*Book, error)
	// Save has the book on disk when it returns.
	Save(*Book) error
}

// Book is all that a device has signed, as far as it matters: the last record of each feed.
type Book struct {
	Device api.Key              `json:"device"`
	Feeds  map[api.Hash]*Signed `json:"feeds"`
}

// Signed is the last record that a device has signed in a feed.
type Signed struct {
	Space api.Hash `json:"space"`
	Seq   uint64   `json:"seq"`
	ID    api.Hash `json:"id,omitzero"`  // none: another record of the device stands at the place
	Not   api.Hash `json:"not,omitzero"` // then: what was signed for the place, and is not there, as a node said

	// Of a record whose fate is not known yet:
	Envelope    []byte    `json:"envelope,omitempty"`    // what was signed, to be sent again as it is
	Name        string    `json:"name,omitempty"`        // that the node gave to the request
	Operation   string    `json:"operation,omitempty"`   // that was asked for
	Input       []byte    `json:"input,omitempty"`       // and with what, byte for byte
	Idempotency string    `json:"idempotency,omitempty"` // and under which name
	At          time.Time `json:"at,omitzero"`           // and when
}

// pending lists the feeds whose last record waits for an answer, the one that was signed first before the others.
func (b *Book) pending() []api.Hash {
	var out []api.Hash
	for feed, s := range b.Feeds {
		if len(s.Envelope) > 0 {
			out = append(out, feed)
		}
	}
	slices.SortFunc(out, func(x, y api.Hash) int {
		if c := b.Feeds[x].At.Compare(b.Feeds[y].At); c != 0 {
			return c
		}
		return strings.Compare(x.String(), y.String())
	})
	return out
}

// only reports whether all that the device has signed is in one space, this.
func (b *Book) only(space api.Hash) bool {
	for s := range maps.Values(b.Feeds) {
		if s.Space != space {
			return false
		}
	}
	return len(b.Feeds) > 0
}

// FileJournal is a Journal in a file that only its owner can read.
type FileJournal struct {
	path   string
	device api.Key
}

// CreateJournal makes the journal of a device that has signed nothing yet; a file that is there is a Conflict.
func CreateJournal(path string, device api.Key) (*FileJournal, error) {
	const op = "journal.create"
	if _, err := os.Lstat(path); err == nil {
		return nil, api.Errorf(op, api.Conflict, "%s exists", path)
	}
	j := &FileJournal{path, device}
	if err := j.Save(&Book{Device: device, Feeds: map[api.Hash]*Signed{}}); err != nil {
		return nil, api.Wrap(op, err)
	}
	return j, nil
}

// OpenJournal opens the journal of a device. None is NotFound; one of another device, or that others can read, is Invalid.
func OpenJournal(path string, device api.Key) (*FileJournal, error) {
	j := &FileJournal{path, device}
	_, err := j.Load()
	if err != nil {
		return nil, err
	}
	return j, nil
}

// Lock implements Journal.
func (j *FileJournal) Lock(ctx context.Context) (func(), error) {
	l := flock.New(j.path+".lock", flock.SetPermissions(0o600))
	if _, err := l.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, api.Errorf("journal.lock", api.Unavailable, "another program signs with this key: %w", err)
	}
	return func() { _ = l.Unlock() }, nil // the end of the process ends it too
}

// Load implements Journal.
func (j *FileJournal) Load() (*Book, error) {
	const op = "journal.open"
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, api.Errorf(op, api.NotFound, "%s does not exist", j.path)
	}
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, api.Wrap(op, err)
	case !info.Mode().IsRegular():
		return nil, api.Errorf(op, api.Invalid, "%s is not a file", j.path)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return nil, api.Errorf(op, api.Invalid, "%s can be read by others (mode %04o): chmod 600 %s", j.path, info.Mode().Perm(), j.path)
	case info.Size() > maxBook:
		return nil, api.Errorf(op, api.Invalid, "%s has %d bytes: a journal has at most %d", j.path, info.Size(), maxBook)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxBook))
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	var b Book
	if err := json.Unmarshal(raw, &b); err != nil || b.Feeds == nil || slices.Contains(slices.Collect(maps.Values(b.Feeds)), nil) {
		return nil, api.Errorf(op, api.Invalid, "%s is damaged: take a new device, for nobody knows what this one has signed", j.path)
	}
	if b.Device != j.device {
		return nil, api.Errorf(op, api.Invalid, "%s is of the device %s, not of %s", j.path, b.Device, j.device)
	}
	return &b, nil
}

// Save implements Journal: the file is replaced whole or not at all, and durably.
func (j *FileJournal) Save(b *Book) error {
	const op = "journal.save"
	raw, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		return api.Wrap(op, err)
	}
	if len(raw) > maxBook {
		return api.Errorf(op, api.TooLarge, "%s would have %d bytes: at most %d", j.path, len(raw), maxBook)
	}
	f, err := os.CreateTemp(filepath.Dir(j.path), ".journal-*") // mode 0600
	if err != nil {
		return api.Wrap(op, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(raw, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return api.Wrap(op, err)
	}
	if err := os.Rename(f.Name(), j.path); err != nil {
		return api.Wrap(op, err)
	}
	if runtime.GOOS == "windows" { // directories cannot be synced there
		return nil
	}
	d, err := os.Open(filepath.Dir(j.path))
	if err != nil {
		return api.Wrap(op, err)
	}
	return api.Wrap(op, errors.Join(d.Sync(), d.Close()))
}
