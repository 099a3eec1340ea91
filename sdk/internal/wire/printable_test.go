package wire

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/inference-pio/inference-pio/sdk/internal/pb"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "",
		"plain\ttext\nof two lines": "plain\ttext\nof two lines",
		"Zürich, 東京, עברית, 👩‍👩‍👧, a\u00a0b\u200f": "Zürich, 東京, עברית, 👩‍👩‍👧, a\u00a0b\u200f",
		"\x1b[2J\x1b]0;title\x07": `\x1b[2J\x1b]0;title\x07`,
		"\r\b\x00\x7f":            `\x0d\x08\x00\x7f`,
		"\u009b31m":               `\u009b31m`,
		"a\u202egnp.exe\u2066":    `a\u202egnp.exe\u2066`,
		"one\u2028two\u2029":      `one\u2028two\u2029`,
		"\xff\xfe":                `\xff\xfe`,
		"\ufffd":                  "\ufffd",
		"\ufffd\x9b":              "\ufffd" + `\x9b`,
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := name("two\nlines\tof \x1b"); got != `two\nlines\tof \x1b` {
		t.Errorf("got %q", got)
	}
}

// hostile is a plugin's text that would paint the screen, if it got there.
const hostile = "\x1b[31mred\u009b1m\u202e\r"

// Every text that a plugin says of itself passes here; none arrives as it was sent.
func TestNothingAPluginSaysOfItselfSteersATerminal(t *testing.T) {
	description, err := Description(&pb.DescribeResponse{
		Name: hostile, Version: hostile, SdkVersion: hostile, Architectures: []string{hostile}, Capabilities: []string{hostile}, Kernels: hostile,
		Numerics: []string{hostile}, Devices: []string{hostile},
	})
	checkPrintable(t, description, err)
	module := &pb.LayerTable{
		Modules: []*pb.Module{{Id: hostile}}, Plan: []*pb.Placement{{Module: hostile, Device: hostile}},
	}
	inspection, err := Inspection(&pb.InspectResponse{Fit: pb.Fit_FIT_EXACT, Reason: hostile, Table: module})
	checkPrintable(t, inspection, err)
	checkPrintable(t, Progress(&pb.LoadProgress{Stage: hostile}), nil)
	report, err := Report(&pb.ScheduleResponse{
		Devices: []*pb.DeviceReport{{Name: hostile}}, Modules: []*pb.ModuleReport{{Id: hostile, Device: hostile, Resident: []string{hostile}}},
		Done: &pb.OrderDone{Error: hostile},
	})
	checkPrintable(t, report, err)
	bare := status.New(codes.Internal, hostile)
	full, err := bare.WithDetails(&errdetails.ErrorInfo{Domain: domain, Reason: hostile, Metadata: map[string]string{fieldKey: hostile}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*status.Status{bare, full} {
		e, _ := Error(s)
		checkPrintable(t, *e, nil)
	}
}

// checkPrintable looks into every string of v.
func checkPrintable(t *testing.T, v any, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	texts := 0
	var look func(reflect.Value)
	look = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			if s := v.String(); s != "" {
				texts++
				if Printable(s) != s {
					t.Errorf("got %q", s)
				}
			}
		case reflect.Struct:
			for i := range v.NumField() {
				look(v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				look(v.Index(i))
			}
		case reflect.Pointer:
			if !v.IsNil() {
				look(v.Elem())
			}
		}
	}
	look(reflect.ValueOf(v))
	if texts == 0 {
		t.Errorf("no text in %T", v)
	}
}

// Whatever the bytes, the result is stable, valid and as long as it must be.
func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[0m\xff")
	f.Add("\u202e\ufffd")
	f.Fuzz(func(t *testing.T, s string) {
		got := Printable(s)
		if !utf8.ValidString(got) || Printable(got) != got || len(got) < len(s) || strings.IndexFunc(strings.ReplaceAll(got, "\ufffd", ""), steers) >= 0 {
			t.Errorf("%q became %q", s, got)
		}
	})
}
