// pictures.go gets the files of the pictures that a request has, which are sent to the plugin as they are.
package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
func (a *api) look(ctx context.Context, req *request) error {
	if len(req.pictures) > 0 && a.knows(req.model) { // who asks for no model of ours sends the host nowhere
		files, err := a.fetchAll(ctx, req.pictures)
		if err != nil {
			return err
		}
		req.chat.Images, req.pictures = files, nil
	}
	return req.fits()
}

// fits refuses a chat that no plugin could be told of.
func (r *request) fits() error {
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
