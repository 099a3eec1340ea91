// Multi-head latent attention (DeepSeek-AI, 2024): a layer keeps for each position one latent and one rotated key that all
// heads share, and makes keys and values of each head from the latent by one matrix.

package nn

import "github.com/inference-pio/inference-pio/cuda"

// LatentCache is the cache of latent attention: [latent | key shared by all heads] for each position.
func LatentCache(rank, shared int) CacheSpec {
	return CacheSpec{Paged: []Paged{{"latent", 1, rank + shared}}}
}

// latentTile is how many positions are expanded at a time: a multiple of cuda.TileKeys, so that where a prompt is cut
// changes no bit, and of what the matrix kernel takes at once.
const latentTile = 192

// Latents is latent attention. Up makes a head's key (its first Nope elements) and value from a latent; the key is followed by
// the one that the heads share.
type Latents struct {
	Up    *cuda.Weight // (heads · (nope + value), rank)
	Heads int
	Nope  int
	Scale float32 // of scores
}

// Attend writes the rows' latents to the cache and lets each row attend to all positions of its sequence up to its own:
// softmax(scale · q kᵀ) v. Rows of a prompt expand the latents of their sequence tile by tile, which costs least for many
// queries; generated rows attend to the latents themselves (the absorbed form, cuda.Step.LatentQuery), which reads least.
// The cache is one of LatentCache. q (rows, heads, nope + shared), latents (rows, rank + shared) -> (rows, heads, value).
func (l Latents) Attend(s *cuda.Step, q, latents cuda.Tensor, b *Batch, c *Cache) cuda.Tensor {
	cache := c.Paged[0]
	s.CacheWrite(cache, latents.Heads(latents.Dim(1)), b.Pages)
	rest := b.Segments
	if s.Measuring() { // any row may have either form
		rest = []Segment{{To: q.Rows()}, {To: q.Rows(), Form: Decode}}
	} else if len(rest) > 0 && sameForm(rest) == len(rest) {
		return l.inForm(s, q, rest, b, cache)
	}
	y := s.Empty(q.Rows(), l.Heads, l.value())
	for len(rest) > 0 {
		run := rest[:sameForm(rest)]
		rest = rest[len(run):]
		from, to, mark := run[0].From, run[len(run)-1].To, s.Mark()
		s.Copy(y.Slice(from, to), l.inForm(s, q.Slice(from, to), run, b, cache))
		s.Rewind(mark)
	}
	return y
}

// inForm is attention of a run of rows of one form.
func (l Latents) inForm(s *cuda.Step, q cuda.Tensor, run []Segment, b *Batch, cache *cuda.State) cuda.Tensor {
	if run[0].Form == Prefill {
		return l.expanded(s, q, run, b, cache)
	}
	return l.absorbed(s, q, run, b, cache)
}

// sameForm counts the segments of one form at the beginning.
func sameForm(segments []Segment) int {
	n := 1
	for n < len(segments) && segments[n].Form == segments[0].Form {
		n++
	}
	return n
}

func (l Latents) value() int { return l.Up.Shape[0]/l.Heads - l.Nope }

// absorbed attends in the space of latents: q (rows of the run, heads, nope + shared) -> (rows, heads, value).
func (l Latents) absorbed(s *cuda.Step, q cuda.Tensor, run []Segment, b *Batch, cache *cuda.State) cuda.Tensor {
	from, to := run[0].From, run[len(run)-1].To
	x := s.LatentQuery(q, l.Up, l.Nope) // (rows, heads, rank + shared)
	x = s.LatentAttention(x, cache, l.Up.Shape[1], b.Rows(from, to), l.Scale)
	return s.LatentValue(x, l.Up, l.Nope)
}

// expanded makes keys and values of each head, of a tile of positions at a time.
func (l Latents) expanded(s *cuda.Step, q cuda.Tensor, run []Segment, b *Batch, cache *cuda.State) cuda.Tensor {
	acc := s.AttendStart(q.Rows(), l.Heads, l.value())
	for _, seg := range run {
		end := seg.Start + seg.To - seg.From // the first position the segment does not see
		if s.Measuring() {
			end = min(latentTile, b.Tables.Dim(1)*BlockSize)
		}
		for first := 0; first < end; first += latentTile {
			from, to := seg.From-run[0].From, seg.To-run[0].From
			if first > seg.Start {
				from += first - seg.Start // rows before the tile see nothing of it
			}
			mark := s.Mark()
			keys, values := l.tile(s, b, cache, seg.Seq, first, min(latentTile, end-first))
			limits := b.Positions.Slice(run[0].From+from, seg.To)
			s.AttendTile(acc.Slice(from, to), q.Slice(from, to), keys, values, limits, first, l.Scale)
			s.Rewind(mark)
		}
	}
	return s.AttendDone(acc)
}

// tile makes the keys (heads, n, nope + shared) and values (heads, n, value) of n positions of a sequence.
func (l Latents) tile(s *cuda.Step, b *Batch, cache *cuda.State, seq, first, n int) (keys, values cuda.Tensor) {
	rank, each := l.Up.Shape[1], l.Nope+l.value()
	latents := s.CacheRead(cache, b.Pages, seq, first, n) // (n, 1, rank + shared)
	shared := s.Columns(latents, rank, latents.Dim(2))    // (n, 1, shared)
	both := s.MatMul(s.Columns(latents, 0, rank).Flat(), l.Up).Heads(each)
	return s.HeadsFirst(both, 0, l.Nope, shared), s.HeadsFirst(both, l.Nope, each, cuda.Tensor{})
}
