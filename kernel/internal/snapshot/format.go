package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Format is the number of the format that this build writes and reads.
const Format = 1

// The kinds of frames.
const (
	frameHeader  = 'H'
	frameRecords = 'R'
	frameMetas   = 'M'
	frameServed  = 'Q'
	frameEnd     = 'E'
)

// Sizes in bytes.
const (
	frameTarget = 256 << 10 // a frame is written when it has grown to this
	maxMeta     = 1 << 20   // a named value with its name
	maxFrame    = frameTarget + maxMeta + 64
	frameHead   = 5
	servedSize  = 3*32 + 72
)

// Header says what an archive holds. It is the first thing in it.
type Header struct {
	Created     time.Time // to the millisecond
	Version     string    // of the software that wrote it
	StoreFormat int
	Node        api.DID
	DID         api.DID // whom the node signs for
	Device      api.Key // the key it signed with, which is not in the archive
	Spaces      []api.Hash
	Records     uint64
	Digest      api.Hash // of the state that the records give
	Apps        []AppDigest
}

// AppDigest is one app's part of the state's digest.
type AppDigest struct {
	App    string
	Digest api.Hash
	Rows   uint64
}

type headerWire struct {
	_           struct{} `cbor:",toarray"`
	Format      uint16
	Created     uint64
	Version     string
	StoreFormat uint16
	Node, DID   string
	Device      []byte
	Spaces      [][]byte
	Records     uint64
	Digest      []byte
	Apps        []appWire
}

type appWire struct {
	_      struct{} `cbor:",toarray"`
	App    string
	Digest []byte
	Rows   uint64
}

func (h *Header) encode() []byte {
	w := headerWire{
		Format: Format, Created: uint64(h.Created.UnixMilli()), Version: h.Version, StoreFormat: uint16(h.StoreFormat), Node: string(h.Node), DID: string(h.DID),
		Device: h.Device[:], Records: h.Records, Digest: h.Digest[:], Spaces: make([][]byte, len(h.Spaces)), Apps: make([]appWire, len(h.Apps)),
	}
	for i := range h.Spaces {
		w.Spaces[i] = h.Spaces[i][:]
	}
	for i := range h.Apps {
		w.Apps[i] = appWire{App: h.Apps[i].App, Digest: h.Apps[i].Digest[:], Rows: h.Apps[i].Rows}
	}
	return codec.MustMarshal(&w)
}

// decodeHeader reads the format first: what follows it may be different in another.
func decodeHeader(b []byte) (Header, error) {
	const op = "snapshot.read"
	rd := codec.NewReader(b)
	rd.ArrayLen(64)
	if n := rd.Uint(math.MaxUint16); !rd.Failed() && n != Format {
		return Header{}, api.Errorf(op, api.Unsupported, "archive of format %d: this build reads %d", n, Format)
	}
	var w headerWire
	if err := codec.Unmarshal(b, &w); err != nil {
		return Header{}, api.Errorf(op, api.Invalid, "header: %w", err)
	}
	if len(w.Device) != 32 || len(w.Digest) != 32 {
		return Header{}, errDamaged("header: a key or digest has not 32 bytes")
	}
	h := Header{
		Created: time.UnixMilli(int64(w.Created)).UTC(), Version: w.Version, StoreFormat: int(w.StoreFormat), Node: api.DID(w.Node), DID: api.DID(w.DID),
		Device: api.Key(w.Device), Records: w.Records, Digest: api.Hash(w.Digest),
	}
	for _, s := range w.Spaces {
		if len(s) != 32 {
			return Header{}, errDamaged("header: a space id has not 32 bytes")
		}
		h.Spaces = append(h.Spaces, api.Hash(s))
	}
	for _, a := range w.Apps {
		if len(a.Digest) != 32 {
			return Header{}, errDamaged("header: a digest has not 32 bytes")
		}
		h.Apps = append(h.Apps, AppDigest{App: a.App, Digest: api.Hash(a.Digest), Rows: a.Rows})
	}
	return h, nil
}

// Totals count what an archive holds; they are the last thing in it.
type Totals struct {
	Records, Metas, Served uint64
	Sum                    api.Hash // over everything; set by Reader and Writer at the end
}

type totalsWire struct {
	_                      struct{} `cbor:",toarray"`
	Records, Metas, Served uint64
}

// Served is a request that has been done and must not be done twice: the device that asked, the hashes of the request's name and content, and
// the record that came of it.
type Served struct {
	Device        api.Key
	Name, Content api.Hash
	At            api.Position
}

func (s *Served) append(b []byte) []byte {
	b = append(b, s.Device[:]...)
	b = append(b, s.Name[:]...)
	b = append(b, s.Content[:]...)
	b = append(b, s.At.Feed[:]...)
	b = binary.BigEndian.AppendUint64(b, s.At.Seq)
	return append(b, s.At.ID[:]...)
}

func parseServed(b []byte) Served {
	return Served{
		Device: api.Key(b[:32]), Name: api.Hash(b[32:64]), Content: api.Hash(b[64:96]),
		At: api.Position{Feed: api.Hash(b[96:128]), Seq: binary.BigEndian.Uint64(b[128:136]), ID: api.Hash(b[136:168])},
	}
}

// maxItem is the size of an item of a frame kind with its lengths, at most.
func maxItem(kind byte) int {
	if kind == frameRecords {
		return record.MaxSize
	}
	return maxMeta
}

// start is the digest before the first frame.
func start() api.Hash { return sha256.Sum256([]byte("icn-snapshot 1")) }

// next is the digest of a frame, head being its kind and length.
func next(before api.Hash, head, payload []byte) api.Hash {
	h := sha256.New()
	h.Write(before[:])
	h.Write(head)
	h.Write(payload)
	return api.Hash(h.Sum(nil))
}

func errDamaged(format string, args ...any) error {
	return api.Errorf("snapshot.read", api.Invalid, "the archive is damaged: "+format, args...)
}
