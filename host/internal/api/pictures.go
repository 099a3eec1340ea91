// pictures.go gets the files of the pictures that a request has, which are sent to the plugin as they are.
package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

const (
	// maxMessage is what a request may weigh on its way to a plugin; the rest of a message is for ids when it is resumed.
	maxMessage = sdk.MaxMessageBytes - 4<<20
	// maxCopies bounds what the pictures of all choices weigh together, each of which is sent to the plugin by itself.
	maxCopies = 256 << 20
	// maxTogether is how many pictures of one request are fetched at the same time.
	maxTogether = 4
)

// look fetches the pictures of a chat. Its errors name the part they are about.
func (a *api) look(ctx context.Context, req *request, h *held) error {
	if len(req.pictures) > 0 && a.knows(req.model) { // who asks for no model of ours sends the host nowhere
		if err := h.takePictures(ctx, a.expected(req.pictures)); err != nil {
			return err
		}
		files, err := a.fetchAll(ctx, req.pictures)
		if err != nil {
			return err
		}
		req.chat.Images, req.pictures = files, nil
		h.keepBody(req.words())
		h.keepPictures(distinct(files))
	}
	return req.fits()
}

// expected is how many bytes pictures may have.
func (a *api) expected(list []picture) (n int64) {
	seen := map[string]bool{}
	for _, p := range list {
		if seen[p.url] {
			continue
		}
		seen[p.url] = true
		if scheme, _, _ := strings.Cut(p.url, ":"); strings.EqualFold(scheme, "data") {
			n += int64(len(p.url)) / 4 * 3
		} else {
			n += a.o.Pictures.MaxBytes()
		}
	}
	return min(n, maxMessage)
}

// distinct is how many bytes files have, one that is there twice counted once.
func distinct(files [][]byte) (n int64) {
	seen := map[*byte]bool{}
	for _, f := range files {
		if len(f) > 0 && !seen[&f[0]] {
			seen[&f[0]] = true
			n += int64(len(f))
		}
	}
	return n
}

// fits refuses what no plugin could be told of.
func (r *request) fits() error {
	for _, p := range r.prompts {
		if n := len(p.text) + 4*len(p.tokens); n > maxMessage {
			return invalid("prompt", "prompt has %d bytes; expected at most %s, which is what a plugin takes", n, config.FormatSize(maxMessage))
		}
	}
	if r.chat == nil {
		return nil
	}
	pictures, words := 0, len(r.chat.Messages)+len(r.chat.Tools)+len(r.chat.Kwargs)
	for _, f := range r.chat.Images {
		pictures += len(f)
	}
	switch {
	case pictures+words > maxMessage:
		return invalid("messages", "messages has %d bytes and %d of pictures; expected at most %s together, which is what a plugin takes",
			words, pictures, config.FormatSize(maxMessage))
	case pictures*r.n > maxCopies:
		return invalid("n", "n is %d, and %d bytes of pictures are sent to the plugin for each answer; expected at most %s together",
			r.n, pictures, config.FormatSize(maxCopies))
	}
	return nil
}

// fetchAll returns the files in the order of the list. The first failure ends the others.
func (a *api) fetchAll(ctx context.Context, list []picture) ([][]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	files := make([][]byte, len(list))
	first := map[string]int{} // the same URL is fetched once
	slots := make(chan struct{}, maxTogether)
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for i, p := range list {
		if _, again := first[p.url]; again {
			continue
		}
		first[p.url] = i
		if slots <- struct{}{}; ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			defer a.caught(cancel)
			file, err := a.o.Pictures.Fetch(ctx, p.url)
			mu.Lock()
			defer mu.Unlock()
			if total += len(file); err == nil && total > maxMessage {
				err = fmt.Errorf("with this picture there are more than %s of them in the request", config.FormatSize(maxMessage))
			}
			if err != nil {
				cancel(blamePicture(p.path, err))
			}
			files[i] = file
		})
	}
	wg.Wait()
	for i, p := range list {
		files[i] = files[first[p.url]]
	}
	return files, context.Cause(ctx)
}

// blamePicture leaves the end of a request what it is.
func blamePicture(path string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return newError(http.StatusBadRequest, path, "", path+": "+err.Error())
}

func (a *api) knows(model string) bool {
	for _, s := range a.backend.Models() {
		if s.Is(model) {
			return true
		}
	}
	return false
}

// idOf is the id of a model that may have been asked for by an alias.
func (a *api) idOf(model string) string {
	for _, s := range a.backend.Models() {
		if s.Is(model) {
			return s.ID
		}
	}
	return model
}
