package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// printable returns s with everything escaped that a terminal would act upon
// or hide: control characters, bidirectional marks, bytes that are not UTF-8.
// Clients choose application names, users and identifiers; a reviewer's
// terminal must not obey them.
func printable(s string) string {
	if strings.IndexFunc(s, needsEscape) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case needsEscape(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// needsEscape reports whether r is not plain visible text. unicode.IsPrint
// knows of no blanks but the ASCII one, and takes no formatting characters.
func needsEscape(r rune) bool { return !unicode.IsPrint(r) }

// shorten cuts s to width characters, the last of which marks the cut. A
// width of 0 cuts nothing.
func shorten(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// pad fills s up to width with blanks.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// display is where human output goes: colours and cutting to the width are
// for terminals only.
type display struct {
	w      io.Writer
	width  int // of the terminal, 0 if it is none
	colour bool
}

// newDisplay looks at what w is. NO_COLOR turns colours off (no-color.org).
func newDisplay(w io.Writer) display {
	d := display{w: w}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return d
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		d.width = width
	}
	d.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return d
}

// The colours in use, as SGR parameters (ECMA-48).
const (
	colourRed    = "31"
	colourGreen  = "32"
	colourYellow = "33"
	colourBold   = "1"
	colourDim    = "2"
)

func (d display) paint(colour, s string) string {
	if !d.colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// printf writes to the display; an error shows at the end of the command,
// when its output is incomplete anyway.
func (d display) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(d.w, format, args...)
}

// showTime is the form of times in human output: UTC, to the second.
func showTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// table prints rows in columns as wide as their widest cell, up to a limit
// except for the last. Cells must be printable; the first row is the head.
func (d display) table(rows [][]string) {
	const widest = 40
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], min(widest, utf8.RuneCountInString(cell)))
		}
	}
	for n, row := range rows {
		line := d.row(row, widths)
		if n == 0 {
			line = d.paint(colourDim, line)
		}
		d.printf("%s\n", line)
	}
}

// row lays cells out in columns of the given widths; the last takes what is
// left of a terminal.
func (d display) row(cells []string, widths []int) string {
	var b strings.Builder
	used := 0
	for i, cell := range cells {
		if i == len(cells)-1 {
			rest := 0
			if d.width > 0 {
				rest = max(d.width-used, 20)
			}
			b.WriteString(shorten(cell, rest))
			break
		}
		b.WriteString(pad(shorten(cell, widths[i]), widths[i]) + "  ")
		used += widths[i] + 2
	}
	return strings.TrimRight(b.String(), " ")
}
