package kernel

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/snapshot"
	"github.com/intercooperative/icn/kernel/internal/store"
)

const (
	// metaSnapshot starts the names of values about snapshots of this very store: they are not part of one.
	metaSnapshot = "snapshot/"
	metaLast     = metaSnapshot + "last"
	// snapshotEvery is how often a snapshot says how far it is.
	snapshotEvery = 500 * time.Millisecond
)

// SnapshotIn says where a snapshot goes and who can read it.
type SnapshotIn struct {
	Path       string   `json:"path" doc:"file to write on the node's machine, absolute; nothing may stand there" example:"/var/backups/icn.age"`
	Passphrase string   `json:"passphrase,omitempty" doc:"encrypt to this passphrase, 8 characters or more" example:"five words nobody would guess"`
	Recipients []string `json:"recipients,omitempty" doc:"or to these public keys of age, age1..., at most 20"`
}

// Validate implements api.Validator. Its errors quote no secret.
func (in *SnapshotIn) Validate() error {
	switch {
	case !filepath.IsAbs(in.Path) || filepath.Clean(in.Path) != in.Path || len(in.Path) > 4096:
		return api.Errorf("snapshot.create", api.Invalid, "path %q: want an absolute path without . or ..", clip(in.Path))
	case (in.Passphrase == "") == (len(in.Recipients) == 0):
		return api.Errorf("snapshot.create", api.Invalid, "passphrase or recipients: want one of the two")
	}
	return nil
}

// SnapshotItem says how far a snapshot is. The last one has stage "done".
type SnapshotItem struct {
	Stage   string        `json:"stage" doc:"state, records or done"`
	Records uint64        `json:"records" doc:"written so far"`
	Of      uint64        `json:"of" doc:"records in all"`
	Bytes   int64         `json:"bytes" doc:"of the file so far"`
	Done    *SnapshotInfo `json:"done,omitempty"`
}

// SnapshotInfo describes an archive.
type SnapshotInfo struct {
	Path        string      `json:"path,omitempty"`
	Created     time.Time   `json:"created"`
	Version     string      `json:"version"`
	Format      int         `json:"format"`
	StoreFormat int         `json:"store_format"`
	Node        api.DID     `json:"node"`
	Member      api.DID     `json:"member"`
	Device      api.Key     `json:"device" doc:"signed for the member then; its private key is not in the archive"`
	Spaces      []api.Hash  `json:"spaces"`
	Records     uint64      `json:"records"`
	Values      uint64      `json:"values"`
	Requests    uint64      `json:"requests"`
	Bytes       int64       `json:"bytes"`
	Digest      api.Hash    `json:"digest" doc:"of the state"`
	Apps        []AppDigest `json:"apps"`
	Sum         api.Hash    `json:"sum,omitzero" doc:"of the archive, once it was read to its end"`
}

func snapshotInfo(h *snapshot.Header, t snapshot.Totals) *SnapshotInfo {
	out := &SnapshotInfo{
		Created: h.Created, Version: h.Version, Format: snapshot.Format, StoreFormat: h.StoreFormat, Node: h.Node, Member: h.DID, Device: h.Device,
		Spaces: append([]api.Hash{}, h.Spaces...), Records: h.Records, Values: t.Metas, Requests: t.Served, Digest: h.Digest, Apps: []AppDigest{}, Sum: t.Sum,
	}
	for _, a := range h.Apps {
		out.Apps = append(out.Apps, AppDigest{App: a.App, Digest: a.Digest, Rows: int(a.Rows)})
	}
	return out
}

// lastSnapshot is what the store remembers of the newest snapshot.
type lastSnapshot struct {
	_       struct{} `cbor:",toarray"`
	Created int64    // Unix milliseconds
	Path    string
	Records uint64
}

// opSnapshot writes a snapshot while the node goes on. What it holds is on disk in the store before it is in the archive: a record that a crash takes
// back must not come again from there.
func (k *Kernel) opSnapshot(ctx context.Context, _ *api.Call, in *SnapshotIn, emit func(*SnapshotItem) error) error {
	const op = "snapshot.create"
	if !k.care.snapshot.TryLock() {
		return api.Errorf(op, api.Unavailable, "another snapshot is being written")
	}
	defer k.care.snapshot.Unlock()
	snap := k.st.Snapshot()
	defer snap.Close()
	barrier := k.st.NewBatch()
	defer barrier.Close()
	if err := k.st.Commit(barrier, true); err != nil {
		return err
	}
	h, err := k.snapshotHeader(snap)
	if err != nil {
		return err
	}
	if err := emit(&SnapshotItem{Stage: "state", Of: h.Records}); err != nil {
		return err
	}
	var info *SnapshotInfo
	err = writeNew(in.Path, func(w io.Writer) error {
		count := &counting{w: w}
		sealed, err := identity.Encrypt(count, identity.Seal{Passphrase: []byte(in.Passphrase), Recipients: in.Recipients})
		if err != nil {
			return err
		}
		if in.Passphrase != "" {
			debug.FreeOSMemory() // scrypt took 256 MiB on purpose
		}
		next := k.opt.Now().Add(snapshotEvery)
		totals, err := k.writeSnapshot(snap, sealed, h, func(records uint64) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if now := k.opt.Now(); records%256 == 0 && now.After(next) {
				next = now.Add(snapshotEvery)
				return emit(&SnapshotItem{Stage: "records", Records: records, Of: h.Records, Bytes: count.n})
			}
			return nil
		})
		if err == nil {
			err = sealed.Close()
		}
		info = snapshotInfo(&h, totals)
		info.Path, info.Bytes = in.Path, count.n
		return err
	})
	if err != nil {
		return api.Wrap(op, err)
	}
	last := codec.MustMarshal(&lastSnapshot{Created: h.Created.UnixMilli(), Path: in.Path, Records: h.Records})
	if err := k.setMeta(metaLast, last, true); err != nil {
		return err
	}
	k.log.Info("snapshot written", "path", in.Path, "records", info.Records, "bytes", info.Bytes)
	return emit(&SnapshotItem{Stage: "done", Records: info.Records, Of: info.Records, Bytes: info.Bytes, Done: info})
}

func (k *Kernel) snapshotHeader(snap store.Reader) (snapshot.Header, error) {
	s := k.opt.Identity.Signer()
	h := snapshot.Header{
		Created: k.opt.Now().UTC().Truncate(time.Millisecond), Version: k.opt.Version, StoreFormat: k.st.Format(), Node: k.selfDID(), DID: s.DID(), Device: s.Device(),
	}
	var err error
	if h.Records, err = fold.LastLocal(snap); err != nil {
		return h, err
	}
	var f follows
	if err := f.load(snap); err != nil {
		return h, err
	}
	h.Spaces = f.list()
	digest, apps, err := fold.Digest(snap, k.apps)
	h.Digest = digest
	for _, a := range apps {
		h.Apps = append(h.Apps, snapshot.AppDigest{App: a.App, Digest: a.Digest, Rows: uint64(a.Rows)})
	}
	return h, err
}

// writeSnapshot writes the archive of a consistent view; progress is called for each record.
func (k *Kernel) writeSnapshot(snap store.Reader, w io.Writer, h snapshot.Header, progress func(records uint64) error) (snapshot.Totals, error) {
	aw, err := snapshot.NewWriter(w, h)
	if err != nil {
		return snapshot.Totals{}, err
	}
	n := uint64(0)
	err = fold.Envelopes(snap, func(raw []byte) error {
		if err := aw.Record(raw); err != nil {
			return err
		}
		n++
		return progress(n)
	})
	if err != nil {
		return snapshot.Totals{}, err
	}
	var bad error
	err = fold.Metas(snap, "", func(name string, val []byte) bool {
		if !strings.HasPrefix(name, metaSnapshot) && !strings.HasPrefix(name, metaReplay) && !strings.HasPrefix(name, metaWriter) && name != metaDoubt && name != fold.MetaJournal {
			bad = aw.Meta(name, val)
		}
		return bad == nil
	})
	if err = errors.Join(err, bad); err != nil {
		return snapshot.Totals{}, err
	}
	err = fold.Requests(snap, func(device api.Key, name, content api.Hash, at api.Position) error {
		return aw.Served(snapshot.Served{Device: device, Name: name, Content: content, At: at})
	})
	if err != nil {
		return snapshot.Totals{}, err
	}
	return aw.Close()
}

// counting counts what passes.
type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// writeNew makes a file at path, whole and durable or not at all, readable by its owner alone. It replaces nothing.
func writeNew(path string, write func(io.Writer) error) error {
	dir := filepath.Dir(path)
	exists := api.Errorf("snapshot.create", api.Conflict, "%s exists: an archive is never overwritten", path)
	if _, err := os.Lstat(path); err == nil {
		return exists
	}
	f, err := os.CreateTemp(dir, ".icn-snapshot-*") // mode 0600
	if err != nil {
		return api.Errorf("snapshot.create", api.Invalid, "%w", err)
	}
	defer os.Remove(f.Name())
	buf := bufio.NewWriterSize(f, 256<<10)
	if err = write(buf); err == nil {
		err = buf.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return unavailable(err)
	}
	err = os.Link(f.Name(), path) // unlike a rename, a link replaces nothing
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		if _, e := os.Lstat(path); e == nil {
			return exists
		}
		err = os.Rename(f.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		return exists
	}
	if err == nil {
		err = syncDir(dir)
	}
	return unavailable(err)
}

// unavailable classifies an error of the disk that nobody has classified: a full one is not this program's fault.
func unavailable(err error) error {
	if err == nil || api.KindOf(err) != api.Other {
		return err
	}
	return api.Errorf("snapshot", api.Unavailable, "%w", err)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ReadSnapshot reads the header of an archive, decrypted already.
func ReadSnapshot(plain io.Reader) (*SnapshotInfo, error) {
	r, err := snapshot.NewReader(plain)
	if err != nil {
		return nil, err
	}
	return snapshotInfo(&r.Header, snapshot.Totals{}), nil
}

// VerifySnapshot reads an archive to its end and checks every digest, and every record's form, signature, certificate and chain. The error names the
// first thing that is wrong. Open gives the archive, decrypted, from its beginning; it is called again when forked feeds need a second look. Progress
// may be nil. What the records add up to is not checked: restoring does.
func VerifySnapshot(ctx context.Context, open func() (io.Reader, error), progress func(records, of uint64) error) (*SnapshotInfo, error) {
	src, err := open()
	if err != nil {
		return nil, err
	}
	r, err := snapshot.NewReader(src)
	if err != nil {
		return nil, err
	}
	v := snapshot.Visitor{}
	if progress != nil {
		v.Progress = func(n uint64) error { return progress(n, r.Header.Records) }
	}
	left, err := snapshot.Walk(ctx, r, v)
	if err != nil {
		return nil, err
	}
	if len(left) > 0 {
		if src, err = open(); err != nil {
			return nil, err
		}
		again, err := snapshot.NewReader(src)
		if err != nil {
			return nil, err
		}
		if err := snapshot.Resolve(ctx, again, left); err != nil {
			return nil, err
		}
	}
	return snapshotInfo(&r.Header, r.Totals()), nil
}

// metaRetired starts the names of the values that say which device keys were in use when an archive was made that this store comes from:
// retired/<device> -> when, Unix milliseconds in 8 bytes.
const metaRetired = "retired/"

// refuseRetired stops a node whose device key was in use when the archive that its store comes from was made. What the key signed after that moment
// is not here, and may be elsewhere: to go on signing with it would fork its feeds.
func (k *Kernel) refuseRetired() error {
	device := k.opt.Identity.Signer().Device()
	b, ok, err := fold.Meta(k.st, metaRetired+device.String())
	if err != nil || !ok || len(b) != 8 {
		return err
	}
	at := time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC().Format(time.RFC3339)
	return api.Errorf("kernel.new", api.Invalid, "the store was restored from a snapshot of %s, and this keystore's device key %s was in use then: what it signed "+
		"since is not here, and signing on would fork its feeds. Move the keystore away and make a new one (icnd init); or use this keystore with an empty data "+
		"directory, and let peers bring the records before you write", at, device)
}
