package jinja

import (
	"fmt"
	"strings"
	"time"
)

// strftime formats as C's strftime does in the C locale. An unknown conversion stays as it is.
func strftime(t time.Time, format string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(format, "%")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		bare := strings.HasPrefix(rest, "-") // no padding
		if bare {
			rest = rest[1:]
		}
		if rest == "" {
			b.WriteString("%")
			return b.String()
		}
		text, ok := timePart(t, rest[0])
		switch {
		case !ok:
			text = "%" + rest[:1]
		case bare:
			if s := strings.TrimLeft(text, "0 "); s != "" || text == "" {
				text = s
			} else {
				text = "0"
			}
		}
		b.WriteString(text)
		format = rest[1:]
	}
}

// layouts are the conversions that Go's own formats cover.
var layouts = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'B': "January", 'b': "Jan", 'h': "Jan", 'd': "02", 'e': "_2", 'A': "Monday", 'a': "Mon",
	'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'j': "002", 'Z': "MST", 'z': "-0700",
	'F': "2006-01-02", 'T': "15:04:05", 'X': "15:04:05", 'R': "15:04", 'D': "01/02/06", 'x': "01/02/06", 'c': "Mon Jan _2 15:04:05 2006", 'r': "03:04:05 PM",
}

func timePart(t time.Time, c byte) (string, bool) {
	if layout, ok := layouts[c]; ok {
		return t.Format(layout), true
	}
	year, week := t.ISOWeek()
	sunday, monday := int(t.Weekday()), (int(t.Weekday())+6)%7
	switch c {
	case '%':
		return "%", true
	case 'n':
		return "\n", true
	case 't':
		return "\t", true
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000), true
	case 's':
		return fmt.Sprint(t.Unix()), true
	case 'C':
		return fmt.Sprintf("%02d", t.Year()/100), true
	case 'k':
		return fmt.Sprintf("%2d", t.Hour()), true
	case 'l':
		return fmt.Sprintf("%2d", (t.Hour()+11)%12+1), true
	case 'G':
		return fmt.Sprint(year), true
	case 'V':
		return fmt.Sprintf("%02d", week), true
	case 'u':
		return fmt.Sprint(monday + 1), true
	case 'w':
		return fmt.Sprint(sunday), true
	case 'U':
		return fmt.Sprintf("%02d", (t.YearDay()+6-sunday)/7), true
	case 'W':
		return fmt.Sprintf("%02d", (t.YearDay()+6-monday)/7), true
	}
	return "", false
}
