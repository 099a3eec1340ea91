package fetch

import (
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"strings"
)

// data reads what follows "data:" in a URL: a media type of pictures or none, ";base64", a comma and the bytes. The type is
// not believed, since what a file is stands in its first bytes.
func (f *Fetcher) data(rest string) ([]byte, error) {
	const expected = "expected data:image/png;base64, and the file in base64"
	head, body, ok := strings.Cut(rest, ",")
	if !ok || len(head) > maxURL {
		return nil, errors.New("the data: URL has no comma before its data; " + expected)
	}
	i := strings.LastIndexByte(head, ';')
	if i < 0 || !strings.EqualFold(strings.TrimSpace(head[i+1:]), "base64") {
		return nil, errors.New("the data: URL is not in base64; " + expected)
	}
	if kind := head[:i]; !dataType(kind) {
		return nil, fmt.Errorf("the data: URL is of the type %s, which is no picture's; %s", quote(kind), expected)
	}
	// Each 4 letters are 3 bytes. Line ends are let in, which some encoders write; they cost at most what they take.
	if int64(len(body)/4*3) > f.rules.MaxBytes+f.rules.MaxBytes/16 {
		return nil, f.tooLarge()
	}
	file, err := base64.StdEncoding.WithPadding(base64.NoPadding).DecodeString(strings.TrimRight(body, "=\r\n"))
	var wrong base64.CorruptInputError
	switch {
	case errors.As(err, &wrong):
		return nil, fmt.Errorf("the data: URL is not valid base64 at letter %d of its data; %s", int64(wrong), expected)
	case err != nil:
		return nil, fmt.Errorf("the data: URL is not valid base64; %s", expected)
	case len(file) == 0:
		return nil, errors.New("the data: URL holds no bytes; " + expected)
	case int64(len(file)) > f.rules.MaxBytes:
		return nil, f.tooLarge()
	}
	return file, nil
}

// dataType takes the media type of a picture, or only parameters of none.
func dataType(kind string) bool {
	if kind == "" || kind[0] == ';' {
		return true
	}
	t, _, err := mime.ParseMediaType(kind)
	return err == nil && strings.HasPrefix(t, "image/")
}
