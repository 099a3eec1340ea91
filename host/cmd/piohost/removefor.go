// removefor.go removes a model for a client of Ollama's API: out of models.toml, out of the running host, and what was downloaded for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/hub"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// remove does what `piohost models rm` does with an entry, and nobody can be asked: files that lie outside of the hub's cache stay, and those
// that another entry uses. The host lets the model go before its files, so that answers under way end well.
func (p *stock) remove(ctx context.Context, model string) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.yield()
	home, err := hub.FindHome()
	if err != nil {
		return notRemoved(err)
	}
	c, err := p.g.patient()
	if err != nil {
		return notRemoved(err)
	}
	m, ok := c.Model(model)
	if !ok {
		return notRemoved(fmt.Errorf("%s has no entry %s any more; the host learns of it by SIGHUP or `piohost reload`", p.g.config, model))
	}
	if !slices.ContainsFunc(c.Models, func(o config.Model) bool { _, err := config.Checkpoint(o.Path); return err == nil && o.ID != m.ID }) {
		return notRemoved(fmt.Errorf("%s is the only model of %s whose files are there, and a host serves at least one; add another first", m.ID, p.g.config))
	}
	what, err := ofEntry(c, home, m, false)
	if err == nil {
		err = what.keptOf(c)
	}
	if err == nil {
		err = what.takeOut(p.g.file())
	}
	if err != nil {
		return notRemoved(err)
	}
	if _, err := p.reload(ctx); err != nil {
		return notRemoved(fmt.Errorf("its entry is out of %s, but the host could not go on without it, so that its files stay: %w", p.g.config, err))
	}
	if err := what.discard(); err != nil {
		return notRemoved(fmt.Errorf("it is not served any more, but not all of its files could be removed: %w", err))
	}
	p.log.Info("a model was removed for a client", "model", m.ID, "freed", hub.Size(what.bytes()), "stays", what.stays)
	return nil
}

// notRemoved is told to the client as it is.
func notRemoved(err error) error {
	var e *problem.Error
	if errors.As(err, &e) {
		return err
	}
	return problem.New(http.StatusBadRequest, "model", "remove_failed", err.Error())
}
