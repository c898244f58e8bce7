package main

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/intercooperative/icn/kernel/api"
)

func scan(t *testing.T, img image.Image) string {
	t.Helper()
	bits, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	got, err := qrcode.NewQRCodeReader().Decode(bits, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got.GetText()
}

// What is drawn and what is written is read again by another implementation, whatever the length of the link.
func TestQRIsReadAgain(t *testing.T) {
	for _, memo := range []string{"", "coffee%20%26%20cake", strings.Repeat("x", 900)} {
		link := "icn:pay?to=did:icn:586Z7H2vpX9qNhN2T4e9Utugie3ogjbxzGaMtM3E6HR5&space=" + strings.Repeat("ab", 32) + "&currency=hours&amount=250&memo=" + memo + "&c=01234567"
		code, err := qrCode(link)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "pay.png")
		if err := writeQR(path, code); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		img, err := png.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		if got := scan(t, img); got != link {
			t.Errorf("PNG: %q", got)
		}
		if err := writeQR(path, code); api.KindOf(err) != api.Conflict {
			t.Errorf("a file is replaced: %v", err)
		}
		var b strings.Builder
		if err := drawQR(&b, code); err != nil {
			t.Fatal(err)
		}
		if got := scan(t, photograph(b.String())); got != link {
			t.Errorf("terminal: %q", got)
		}
	}
	if _, err := qrCode(strings.Repeat("x", 3000)); api.KindOf(err) != api.TooLarge {
		t.Errorf("%v", err)
	}
}

// photograph is a dark terminal as a camera sees it.
func photograph(text string) image.Image {
	const module = 4
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	img := image.NewGray(image.Rect(0, 0, module*len([]rune(lines[0])), 2*module*len(lines)))
	for y, line := range lines {
		for x, r := range []rune(line) {
			for half, light := range [2]bool{r == '█' || r == '▀', r == '█' || r == '▄'} {
				for i := range module * module {
					c := color.Gray{}
					if light {
						c.Y = 255
					}
					img.SetGray(x*module+i%module, (2*y+half)*module+i/module, c)
				}
			}
		}
	}
	return img
}
