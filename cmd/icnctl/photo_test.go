package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// writePhoto is the command photo FILE: it writes a JPEG of some 100 kB with a place in its EXIF segment, as a telephone does.
func writePhoto(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: photo FILE")
	}
	m := image.NewGray(image.Rect(0, 0, 700, 500))
	for i := range m.Pix {
		m.Pix[i] = color.Gray{uint8(i * i >> 3)}.Y
	}
	var b bytes.Buffer
	ts.Check(jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}))
	exif := "Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00GPS 53.4801 -2.2401"
	out := append([]byte{0xff, 0xd8, 0xff, 0xe1, 0, byte(len(exif) + 2)}, exif...)
	ts.Check(os.WriteFile(args[0], append(out, b.Bytes()[2:]...), 0o600))
}
