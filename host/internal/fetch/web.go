package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"

	"github.com/inference-pio/inference-pio/sdk"
)

const maxRedirects = 3

// newClient makes a client that goes nowhere the rules do not let it: no proxy, which would resolve names by itself, and no
// connection kept, so that every request of a name finds out anew where it leads.
func (f *Fetcher) newClient() *http.Client {
	f.dialer.Control = f.control
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            f.dialer.DialContext,
			DisableKeepAlives:      true,
			DisableCompression:     true, // a picture is; and what is small stays small
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			req.Header.Del("Referer")
			switch last := via[len(via)-1].URL; {
			case len(via) > maxRedirects:
				return refusal{fmt.Errorf("the URL is redirected more than %d times", maxRedirects)}
			case last.Scheme == "https" && req.URL.Scheme != "https":
				return refusal{errors.New("the URL is redirected from https to another scheme")}
			}
			if err := f.check(req.URL); err != nil {
				return refusal{fmt.Errorf("the URL is redirected: %w", err)}
			}
			return nil
		},
	}
}

// refusal is an error of ours among those of net/http.
type refusal struct{ error }

// control sees the address of each connection after its name has been resolved and before a packet is sent: a name cannot
// lead elsewhere in between.
func (f *Fetcher) control(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !f.allowed(a.Addr()) {
		return refusal{errNotPublic}
	}
	return nil
}

// web downloads a picture.
func (f *Fetcher) web(ctx context.Context, u *url.URL) ([]byte, error) {
	if err := f.check(u); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, f.rules.Timeout)
	defer cancel()
	file, err := f.download(limited, u)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case limited.Err() != nil:
		return nil, fmt.Errorf("the picture did not come within %v", f.rules.Timeout)
	}
	return file, err
}

func (f *Fetcher) download(ctx context.Context, u *url.URL) ([]byte, error) {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%s is no URL", quote(u.Redacted()))
	}
	req.Header.Set("User-Agent", "inference-pio/"+sdk.Version)
	req.Header.Set("Accept", "image/*")
	resp, err := f.client.Do(req)
	var ours refusal
	switch {
	case errors.As(err, &ours):
		return nil, ours.error
	case err != nil:
		return nil, fmt.Errorf("no answer from %s", quote(u.Host))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers with the status %d", quote(resp.Request.URL.Host), resp.StatusCode)
	case !pictureType(resp.Header.Get("Content-Type")):
		return nil, fmt.Errorf("%s answers with the type %s, which is no picture's", quote(resp.Request.URL.Host), quote(resp.Header.Get("Content-Type")))
	case resp.ContentLength > f.rules.MaxBytes:
		return nil, f.tooLarge()
	}
	return f.read(resp.Body, fmt.Errorf("the answer of %s breaks off", quote(resp.Request.URL.Host)))
}
