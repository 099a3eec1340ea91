// pictures.go gets the files of the pictures that a request has, which are sent to the plugin as they are.
package answer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// maxTogether is how many pictures of one request are fetched at the same time.
const maxTogether = 4

// look fetches the pictures of a chat. Its errors name the part they are about.
func (s *Service) look(ctx context.Context, req *Request, h *Held, field string) error {
	if len(req.Pictures) > 0 && s.Knows(req.Model) { // who asks for no model of ours sends the host nowhere
		if err := h.takePictures(ctx, s.expected(req.Pictures)); err != nil {
			return err
		}
		files, err := s.fetchAll(ctx, req.Pictures)
		if err != nil {
			return err
		}
		req.Chat.Images, req.Pictures = files, nil
		h.KeepBody(req.Words())
		h.keepPictures(distinct(files))
	}
	return req.fits(field)
}

// expected is how many bytes pictures may have.
func (s *Service) expected(list []Picture) (n int64) {
	seen := map[string]bool{}
	for _, p := range list {
		if seen[p.URL] {
			continue
		}
		seen[p.URL] = true
		if scheme, _, _ := strings.Cut(p.URL, ":"); strings.EqualFold(scheme, "data") {
			n += int64(len(p.URL)) / 4 * 3
		} else {
			n += s.Pictures.MaxBytes()
		}
	}
	return min(n, MaxMessage)
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

// fetchAll returns the files in the order of the list. The first failure ends the others.
func (s *Service) fetchAll(ctx context.Context, list []Picture) ([][]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	files := make([][]byte, len(list))
	first := map[string]int{} // the same URL is fetched once
	slots := make(chan struct{}, maxTogether)
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for i, p := range list {
		if _, again := first[p.URL]; again {
			continue
		}
		first[p.URL] = i
		if slots <- struct{}{}; ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			defer s.caught(cancel)
			file, err := s.Pictures.Fetch(ctx, p.URL)
			mu.Lock()
			defer mu.Unlock()
			if total += len(file); err == nil && total > MaxMessage {
				err = fmt.Errorf("with this picture there are more than %s of them in the request", config.FormatSize(MaxMessage))
			}
			if err != nil {
				cancel(blamePicture(p.Path, err))
			}
			files[i] = file
		})
	}
	wg.Wait()
	for i, p := range list {
		files[i] = files[first[p.URL]]
	}
	return files, context.Cause(ctx)
}

// blamePicture leaves the end of a request what it is.
func blamePicture(path string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return problem.New(http.StatusBadRequest, path, "", path+": "+err.Error())
}
