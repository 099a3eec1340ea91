package catalog

// ask.go starts plugins for as long as it takes to ask them something.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// askTime bounds one question. Inspect reads headers only: of the largest checkpoints some megabytes.
const askTime = 30 * time.Second

// Running is a started plugin as far as the catalog needs it.
type Running interface {
	Describe(ctx context.Context) (sdk.Description, error)
	Inspect(ctx context.Context, req sdk.InspectRequest) (sdk.Inspection, error)
	Close()
}

// StartFunc starts a plugin. It is [Starter]'s but in tests.
type StartFunc func(ctx context.Context, p Plugin) (Running, error)

// Starter starts plugins as processes. log, which may be nil, gets what they log.
func Starter(log *slog.Logger, mtls bool) StartFunc {
	return func(ctx context.Context, p Plugin) (Running, error) {
		name := p.Name
		if name == "" { // it is started to learn its name
			name = filepath.Base(p.Path)
		}
		started, err := process.Start(ctx, process.Spec{Name: name, Path: p.Path, SHA256: p.Pin(), MTLS: mtls, Log: log})
		if err != nil {
			return nil, err
		}
		return running{started.Client(), started, log}, nil
	}
}

type running struct {
	*client.Client
	process *process.Process
	log     *slog.Logger
}

// Close stops the process; the time that takes is bounded.
func (s running) Close() {
	if err := s.process.Stop(context.Background()); err != nil && s.log != nil {
		s.log.Error(err.Error())
	}
}

// with starts p for one question.
func with[T any](ctx context.Context, start StartFunc, p Plugin, question func(context.Context, Running) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	s, err := start(ctx, p)
	if err != nil {
		var none T
		return none, &Undecided{err}
	}
	defer s.Close()
	answer, err := question(ctx, s)
	if err != nil && (errors.Is(err, client.ErrGone) || ctx.Err() != nil) {
		err = &Undecided{err}
	}
	return answer, err
}

// describe asks a plugin who it is and checks that the answer can be used.
func describe(ctx context.Context, start StartFunc, p Plugin) (sdk.Description, error) {
	return with(ctx, start, p, func(ctx context.Context, s Running) (sdk.Description, error) {
		d, err := s.Describe(ctx)
		if err != nil {
			return d, fmt.Errorf("%s does not describe itself: %w", p.Path, err)
		}
		return d, p.Check(d)
	})
}

// Check holds what a started plugin says of itself against what the catalog knows.
func (p Plugin) Check(d sdk.Description) error {
	switch {
	case !lockName.MatchString(d.Name):
		return fmt.Errorf("%s says its name is %.80q; a plugin's name has lower case letters, digits and underscores", p.Path, d.Name)
	case !lockVersion.MatchString(d.Version):
		return fmt.Errorf("%s says its version is %.80q; expected one such as \"1.0.0\"", p.Path, d.Version)
	case p.Name != "" && (d.Name != p.Name || d.Version != p.Version):
		return fmt.Errorf("%s says it is %s %s, but was listed as %s %s; run `piohost plugin lock`", p.Path, d.Name, d.Version, p.Name, p.Version)
	}
	return nil
}

// Inspect asks one plugin about a checkpoint.
func (c *Catalog) Inspect(ctx context.Context, p Plugin, req sdk.InspectRequest) (sdk.Inspection, error) {
	return with(ctx, c.options.Start, p, func(ctx context.Context, s Running) (sdk.Inspection, error) {
		d, err := s.Describe(ctx)
		if err == nil {
			err = p.Check(d)
		}
		if err != nil {
			return sdk.Inspection{}, err
		}
		c.options.Memory.remember(p, d)
		return s.Inspect(ctx, req)
	})
}
