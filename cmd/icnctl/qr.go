package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"rsc.io/qr"

	"github.com/intercooperative/icn/kernel/api"
)

// qrMargin is the quiet zone around a code, in modules, as ISO/IEC 18004 has it.
const qrMargin = 4

// qrCode encodes a text, with level M: it can be read with 15 % of it damaged.
func qrCode(text string) (*qr.Code, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, api.Errorf("qr", api.TooLarge, "a text of %d bytes does not fit into a QR code: %w", len(text), err)
	}
	return code, nil
}

// drawQR draws a code for a terminal, two modules to a character. Light modules are drawn, since most terminals are dark and cameras take either: with its
// margin around it the code stands out on both.
func drawQR(w io.Writer, code *qr.Code) error {
	light := func(x, y int) bool { return !code.Black(x, y) } // outside of the code is light
	var b strings.Builder
	for y := -qrMargin; y < code.Size+qrMargin; y += 2 {
		for x := -qrMargin; x < code.Size+qrMargin; x++ {
			switch up, down := light(x, y), light(x, y+1) && y+1 < code.Size+qrMargin; {
			case up && down:
				b.WriteRune('█')
			case up:
				b.WriteRune('▀')
			case down:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeQR writes a code as a PNG to a new file.
func writeQR(path string, code *qr.Code) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return api.Errorf("qr", api.Conflict, "%s exists: name another file, nothing is replaced", path)
	}
	if err != nil {
		return api.Errorf("qr", api.Invalid, "%w", err)
	}
	_, err = f.Write(code.PNG())
	if err := errors.Join(err, f.Close()); err != nil {
		return api.Errorf("qr", api.Unavailable, "%w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// showQR draws a text as a code, writes it to a file, or does both.
func (c *ctl) showQR(text string, draw bool, path string) error {
	if !draw && path == "" {
		return nil
	}
	code, err := qrCode(text)
	if err != nil {
		return err
	}
	if draw {
		if err := drawQR(c.out, code); err != nil {
			return fmt.Errorf("qr: %w", err)
		}
	}
	if path == "" {
		return nil
	}
	c.note("%s", path)
	return writeQR(path, code)
}
