package blob

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
)

// The types that are told by their first bytes. Everything else is octets.
const (
	JPEG   = "image/jpeg"
	PNG    = "image/png"
	WebP   = "image/webp"
	octets = "application/octet-stream"
)

// Type tells what a blob is by its first bytes, whatever anybody says it is.
func Type(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return JPEG
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return PNG
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return WebP
	}
	return octets
}

// Clean returns b without what its image format keeps beside the picture: place, time and camera (EXIF, XMP, IPTC), comments, previews, and whatever follows the
// end. Of it all only the colour profile and which side is up stay. The picture is not decoded and not changed. What is no JPEG, PNG or WebP is
// returned as it is. Invalid: an image that ends too early or does not hold together.
func Clean(b []byte) ([]byte, error) {
	var out []byte
	var ok bool
	switch t := Type(b); t {
	case JPEG:
		out, ok = cleanJPEG(b)
	case PNG:
		out, ok = cleanPNG(b)
	case WebP:
		out, ok = cleanWebP(b)
	default:
		return b, nil
	}
	if !ok {
		return nil, api.Errorf("blob.clean", api.Invalid, "data: begins like an image (%s) and does not go on like one", Type(b))
	}
	return out, nil
}

// Markers of JPEG segments (ITU T.81, B.1.1.3).
const (
	soi  = 0xd8
	eoi  = 0xd9
	sos  = 0xda
	app0 = 0xe0
	com  = 0xfe
)

func cleanJPEG(b []byte) ([]byte, bool) {
	out, rest := slices.Clone(b[:2]), b[2:]
	first := len(out) // where which side is up is said, if not in the JFIF header's place
	up := uint16(0)
	for len(rest) >= 4 && rest[0] == 0xff {
		m := rest[1]
		if m == 0xff { // a fill byte
			rest = rest[1:]
			continue
		}
		if m < 0xc0 || m == soi || m >= 0xd0 && m <= 0xd7 {
			return nil, false
		}
		if m == eoi {
			break
		}
		n := 2 + int(binary.BigEndian.Uint16(rest[2:]))
		if n < 4 || n > len(rest) {
			return nil, false
		}
		body := rest[4:n]
		switch {
		case m == app0 && len(body) >= 14 && string(body[:5]) == "JFIF\x00":
			out = append(out, 0xff, app0, 0, 16)
			out = append(append(out, body[:12]...), 0, 0) // without its preview
			first = len(out)
		case m == app0+2 && bytes.HasPrefix(body, []byte("ICC_PROFILE\x00")), m == app0+14 && bytes.HasPrefix(body, []byte("Adobe")):
			out = append(out, rest[:n]...)
		case m == app0+1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")) && up == 0:
			up = orientation(body[6:])
		case m >= app0 && m <= app0+15, m == com:
		default:
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
		if m == sos {
			n := scan(rest)
			out, rest = append(out, rest[:n]...), rest[n:]
		}
	}
	if len(rest) < 2 || rest[0] != 0xff || rest[1] != eoi {
		return nil, false
	}
	if up > 1 && up <= 8 {
		out = slices.Insert(out, first, exifOf(up)...)
	}
	return append(out, 0xff, eoi), true
}

// scan returns the length of the entropy-coded data at the start of b: up to a marker that is no restart.
func scan(b []byte) int {
	for i := 0; i+1 < len(b); i++ {
		if b[i] == 0xff && b[i+1] != 0 && b[i+1] != 0xff && (b[i+1] < 0xd0 || b[i+1] > 0xd7) {
			return i
		}
	}
	return len(b)
}

// tagOrientation is the one tag of EXIF that says how the picture is to be shown (EXIF 2.32, 4.6.4).
const tagOrientation = 0x0112

// orientation reads which side is up from a TIFF structure; 0 for not said.
func orientation(b []byte) uint16 {
	var order binary.ByteOrder = binary.BigEndian
	if len(b) < 8 {
		return 0
	}
	if string(b[:2]) == "II" {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 0
	}
	for i := range int64(order.Uint16(b[at:])) {
		e := at + 2 + 12*i
		if e+12 > int64(len(b)) {
			return 0
		}
		if order.Uint16(b[e:]) == tagOrientation {
			return order.Uint16(b[e+8:])
		}
	}
	return 0
}

// exifOf is a segment that says which side is up and nothing else.
func exifOf(up uint16) []byte {
	tiff := []byte("MM\x00*\x00\x00\x00\x08\x00\x01")
	tiff = binary.BigEndian.AppendUint16(tiff, tagOrientation)
	tiff = append(tiff, 0, 3, 0, 0, 0, 1) // one SHORT
	tiff = binary.BigEndian.AppendUint16(tiff, up)
	tiff = append(tiff, 0, 0, 0, 0, 0, 0) // the rest of its place, and no further directory
	body := append([]byte("Exif\x00\x00"), tiff...)
	return append([]byte{0xff, app0 + 1, 0, byte(2 + len(body))}, body...)
}

// pngKept are the chunks of a PNG that make the picture (W3C PNG, 11), and of an animated one.
func pngKept(kind string) bool {
	switch kind {
	case "IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "sRGB", "iCCP", "sBIT", "bKGD", "pHYs", "cICP", "acTL", "fcTL", "fdAT":
		return true
	}
	return false
}

func cleanPNG(b []byte) ([]byte, bool) {
	out, rest := slices.Clone(b[:8]), b[8:]
	for len(rest) >= 12 {
		n := 12 + int64(binary.BigEndian.Uint32(rest))
		if n > int64(len(rest)) {
			return nil, false
		}
		kind := string(rest[4:8])
		if pngKept(kind) {
			out = append(out, rest[:n]...)
		}
		if kind == "IEND" {
			return out, true
		}
		rest = rest[n:]
	}
	return nil, false
}

func cleanWebP(b []byte) ([]byte, bool) {
	size := int64(binary.LittleEndian.Uint32(b[4:]))
	if size < 4 || size+8 > int64(len(b)) {
		return nil, false
	}
	out, rest := slices.Clone(b[:12]), b[12:size+8]
	for len(rest) >= 8 {
		n := 8 + int64(binary.LittleEndian.Uint32(rest[4:]))
		n += n & 1
		if n > int64(len(rest)) {
			return nil, false
		}
		switch string(rest[:4]) {
		case "VP8X":
			at := len(out) + 8
			out = append(out, rest[:n]...)
			if n < 18 {
				return nil, false
			}
			out[at] &^= 0x0c // neither EXIF nor XMP follows
		case "VP8 ", "VP8L", "ALPH", "ANIM", "ANMF", "ICCP":
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	if len(rest) != 0 {
		return nil, false
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out, true
}
