package wire

// PrintSize is the size of a print, in bytes. In a part of 40 prints, as 10,000 feeds have, one of 1,000 differences hides behind another head's
// print in one exchange of 400; the next exchange has another salt and shows it.
const PrintSize = 3

// SumSize is the size of the sum of a bucket, in bytes.
const SumSize = 4

// Limits of sketches.
const (
	MaxParts  = 256   // parts in one Sketch or Probe
	MaxPrints = 65536 // prints in one Sketch or Probe, all parts together
)

// The frame types of sketches.
const (
	TypeSketch Type = 17
	TypeProbe  Type = 18
)

// Sketch lists every head of the feeds that start with each part's prefix, as salted prints of PrintSize bytes: small enough to send all, and
// enough to see which differ.
type Sketch struct {
	_     struct{} `cbor:",toarray"`
	Space []byte
	Salt  []byte // 8 bytes, fresh
	Parts []Part
}

// Probe answers a Sketch with the prints that the sender cannot match: it asks for those heads in full.
type Probe struct {
	_     struct{} `cbor:",toarray"`
	Space []byte
	Salt  []byte // that of the Sketch
	Parts []Part
}

// Part is the prints of the heads under one prefix, ascending and joined.
type Part struct {
	_      struct{} `cbor:",toarray"`
	Prefix []byte   // 0 to 3 bytes
	Prints []byte
}

func (*Sketch) frameType() Type { return TypeSketch }
func (*Probe) frameType() Type  { return TypeProbe }

func (f *Sketch) check() error { return checkParts(f.Space, f.Salt, f.Parts) }
func (f *Probe) check() error  { return checkParts(f.Space, f.Salt, f.Parts) }

func (f *Digest) check() error {
	if len(f.Sum) != 16 {
		return bad("sum of %d bytes: want 16", len(f.Sum))
	}
	if len(f.Salt) == 0 {
		return checkHash("space", f.Space)
	}
	return first(checkHash("space", f.Space), checkSalt(f.Salt))
}

func checkSalt(b []byte) error {
	if len(b) != 8 {
		return bad("salt of %d bytes: want 8", len(b))
	}
	return nil
}

func checkParts(space, salt []byte, parts []Part) error {
	err := first(checkHash("space", space), checkSalt(salt), checkLen("parts", len(parts), MaxParts))
	total := 0
	for _, p := range parts {
		err = first(err, checkLen("prefix", len(p.Prefix), 3))
		if len(p.Prints)%PrintSize != 0 {
			err = first(err, bad("prints of %d bytes: want a multiple of %d", len(p.Prints), PrintSize))
		}
		total += len(p.Prints) / PrintSize
	}
	return first(err, checkLen("prints", total, MaxPrints))
}
