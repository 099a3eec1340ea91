// media.go holds pictures in prompts: runs of positions whose rows the model computes from something else than their ids, which
// takes work of its own before the prompt can be computed.

package engine

import (
	"encoding/binary"

	"github.com/inference-pio/inference-pio/sdk"
)

// Media is one run of positions of a prompt that stand for something that is not text.
type Media struct {
	At, Len int      // positions At..At+Len-1
	Content any      // the model's
	Hash    [32]byte // of the content: equal ones are the same to the prefix cache
}

// Preparer is a Model that has work to do before prompts with media can be computed. Prepare does a piece of it, about as long
// as a step with a chunk of a prompt, so that others go on meanwhile; it is called again until it is done, and anew for a
// sequence that has lost its place. After an error the sequence fails.
type Preparer interface {
	Prepare(media []Media) (done bool, err error)
}

// Rester is a Preparer that keeps memory from one piece of work to the next. Rest is called between steps while no sequence waits
// for a preparation: the one that did may have been cancelled.
type Rester interface{ Rest() }

func checkMedia(media []Media, prompt int) error {
	end := 0
	for i, m := range media {
		if m.Len <= 0 || m.At < end || m.At+m.Len > prompt {
			return invalid("prompt", "picture %d stands at positions %d to %d of a prompt of %d tokens, after one that ends at %d",
				i, m.At, m.At+m.Len-1, prompt, end)
		}
		end = m.At + m.Len
	}
	return nil
}

// keys are what the prefix cache compares: the ids of a prompt, and for media words of the content's hash, made negative
// so that no id equals one. Eight positions hold the whole hash, and fewer all of it but what a picture of so few could differ in.
func keys(ids []int32, media []Media) []int32 {
	if len(media) == 0 {
		return ids
	}
	list := append([]int32(nil), ids...)
	for _, m := range media {
		for i := range m.Len {
			word := binary.LittleEndian.Uint32(m.Hash[i%8*4:])
			list[m.At+i] = int32(word | 1<<31)
		}
	}
	return list
}

// prepare does a piece of work for the first running sequence that needs some; false if none does.
func (l *loop) prepare() bool {
	for _, q := range l.scheduler.running {
		if q.prepared {
			continue
		}
		p, ok := l.model.(Preparer)
		if !ok {
			l.finish(q, outcome{err: sdk.Errorf(sdk.ReasonInternal, "the model does not take media")})
			return true
		}
		done, err := l.prepareOne(p, q.media)
		if err != nil {
			l.finish(q, outcome{err: err})
			l.checkDrained()
		}
		q.prepared = done
		return true
	}
	if r, ok := l.model.(Rester); ok {
		r.Rest()
	}
	return false
}

func (l *loop) prepareOne(p Preparer, media []Media) (done bool, err error) {
	defer func() { recovered(recover(), &err) }()
	return p.Prepare(media)
}
