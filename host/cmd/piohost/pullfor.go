// pullfor.go pulls a model for a client of Ollama's API: into the hub's cache, into models.toml, and into the running host.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"

	"github.com/inference-pio/inference-pio/host/internal/api"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/hub"
	"github.com/inference-pio/inference-pio/host/internal/ollama"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// stock is the models that there are, which clients may add to and take from. They do so one at a time: a second pull waits, as for a line
// that is no wider.
type stock struct {
	g      *global
	reload func(context.Context) (api.Reload, error)
	log    *slog.Logger
	turn   chan struct{}
}

func (p *stock) take(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *stock) yield() { <-p.turn }

func (p *stock) pull(ctx context.Context, model string, say func(ollama.Pulling)) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.yield()
	home, err := hub.FindHome()
	if err == nil && home.Offline {
		err = errors.New("HF_HUB_OFFLINE is set: nothing is downloaded")
	}
	if err != nil {
		return notPulled(err)
	}
	ref, err := hub.Parse(model, home.Endpoint)
	if err != nil {
		return problem.Invalid("model", "%v", err)
	}
	c := hub.New(home, ref)
	plan, err := c.Plan(ctx, ref, false)
	if err == nil {
		err = plan.Room()
	}
	if err != nil {
		return notPulled(err)
	}
	say(ollama.Pulling{Status: "pulling manifest"})
	sum := sha256.Sum256([]byte(plan.Repo + "@" + plan.Commit))
	digest := hex.EncodeToString(sum[:])
	err = c.Pull(ctx, plan, func(at hub.Progress) {
		say(ollama.Pulling{Status: "pulling " + digest[:12], Digest: "sha256:" + digest, Total: at.Total, Completed: at.Bytes})
	})
	if err != nil {
		return notPulled(err)
	}
	say(ollama.Pulling{Status: "writing manifest"})
	return p.list(ctx, model, plan)
}

// list has models.toml name what has come, also as the client does, unless it does already.
func (p *stock) list(ctx context.Context, model string, plan *hub.Plan) error {
	f := p.g.finder(ctx)
	found := f.entry(ctx, modelName(plan), plan.Checkpoint())
	switch {
	case found.listed != "":
	case found.why != nil:
		return notPulled(found.why)
	default:
		if model != found.ID && config.Free(model, f.ids) == model {
			found.Alias = model
		}
		found.Note = "" // which would stay when a client removes the entry
		if err := config.Add(p.g.file(), found.Entry); err != nil {
			return notPulled(err)
		}
	}
	_, err := p.reload(ctx)
	return err
}

// notPulled is told to the client as it is, unless it has left.
func notPulled(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return problem.New(http.StatusBadRequest, "model", "pull_failed", err.Error())
}
