// pace.go stops work whose caller has left.

package tokenizer

import "context"

// pace looks at the caller's context now and then: to look for every word would cost as much as the word.
type pace struct {
	ctx  context.Context
	work int // bytes since the last look
}

// perLook is work of about a millisecond.
const perLook = 1 << 15

// spend counts work of about n bytes and says whether it is still wanted.
func (p *pace) spend(n int) error {
	if p.work += n; p.work < perLook {
		return nil
	}
	p.work = 0
	return p.ctx.Err()
}
