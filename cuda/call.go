package cuda

import (
	"fmt"
	"strings"
)

// call.go puts an op together: it decides where the op runs, brings activations there, checks shapes, makes the result and adds the op to
// the queue. A method of Step says in a few lines what an op is; what all ops have in common is here, once.

// call is an op on its way to a queue. A step has one, since ops are made one at a time.
type call struct {
	s   *Step
	dev int
	by  string // the first weight's name, for errors
	op  Op
}

// start begins an op where the layer is.
func (s *Step) start(code OpCode) *call { return s.startOn(s.current, code) }

// startAt begins an op where a module was entered.
func (s *Step) startAt(m *Module, code OpCode) *call { return s.startOn(s.device(m), code) }

// startBy begins an op where a weight is, which is its first.
func (s *Step) startBy(w *Weight, code OpCode) (*call, Matrix) {
	if w == nil {
		c := s.start(code)
		c.fail(errNothing)
		return c, Matrix{}
	}
	c := s.startAt(w.Module, code)
	return c, c.weight(w)
}

func (s *Step) startOn(dev int, code OpCode) *call {
	c := &s.call
	c.s, c.dev, c.by = s, dev, ""
	c.op.Code, c.op.Experts = code, nil
	c.op.outs, c.op.ins, c.op.weights, c.op.floats, c.op.ints = 0, 0, 0, 0, 0
	return c
}

// in brings an activation to where the op runs, as its next operand.
func (c *call) in(t Tensor) Tensor {
	if !c.s.isHere(c.dev, &t) {
		if t.IsZero() {
			c.fail(errNothing)
		}
		return c.optional(t)
	}
	c.takes(&t)
	return t
}

// optional is in for an operand that may be none.
func (c *call) optional(t Tensor) Tensor {
	if c.s.err == nil && !t.IsZero() {
		t = c.s.on(c.dev, t)
	}
	c.takes(&t)
	return t
}

func (c *call) takes(t *Tensor) {
	c.op.In[c.op.ins%MaxIn] = *t // no op has more
	c.op.ins++
}

// weight is the op's next weight, which must be where the op runs.
func (c *call) weight(w *Weight) Matrix {
	if c.s.err != nil {
		return Matrix{}
	}
	if w == nil {
		c.fail(errNothing)
		return Matrix{}
	}
	if c.by == "" {
		c.by = w.Name
	}
	m := w.On(c.dev)
	if m.IsZero() {
		c.s.fail(fmt.Errorf("%s is not on %s, where its module was entered", w.Name, c.s.devices[c.dev].Name()))
	}
	c.op.By(m)
	return m
}

// state is a state that the op reads, as its next operand.
func (c *call) state(st *State) Tensor {
	t := c.stateHere(st)
	c.op.Takes(t)
	return t
}

// changes is a state that the op changes.
func (c *call) changes(st *State) Tensor {
	t := c.stateHere(st)
	c.op.Gives(t)
	return t
}

func (c *call) stateHere(st *State) Tensor {
	if st == nil {
		c.fail(errNothing)
		return Tensor{}
	}
	if c.s.err == nil && !c.s.measuring && st.t.dev != c.s.memory[c.dev] {
		c.fail(fmt.Errorf("%s (%v) lies in the memory of another device", st.Name, st.t))
	}
	return st.t
}

// alters is an activation that the op changes. It must lie here and nowhere else: a copy would not learn of the change.
func (c *call) alters(t Tensor) Tensor {
	if t.IsZero() {
		c.fail(errNothing)
	}
	t = c.s.changing(c.dev, t)
	c.op.Gives(t)
	return t
}

// with adds numbers, at integers.
func (c *call) with(list ...float32) { c.op.With(list...) }
func (c *call) at(list ...int) {
	for _, n := range list {
		c.op.At(int32(n))
	}
}

// fits says whether the op may go on, and tells its operands if they do not fit.
func (c *call) fits(ok bool) bool {
	if c.s.err != nil {
		return false
	}
	if !ok {
		c.fail(fmt.Errorf("shapes do not fit: %s", c.operands()))
	}
	return ok
}

func (c *call) operands() string {
	var list []string
	out, in, weights := c.op.Operands()
	for _, t := range append(append([]Tensor(nil), out...), in...) {
		if !t.IsZero() {
			list = append(list, t.String())
		}
	}
	for _, w := range weights {
		if !w.IsZero() {
			list = append(list, w.String())
		}
	}
	return strings.Join(list, " with ")
}

// out makes the op's next result.
func (c *call) out(d DType, dims ...int32) Tensor {
	var dim [MaxDims]int32
	return c.shaped(d, uint8(copy(dim[:], dims)), dim)
}

// like makes a result of another tensor's shape.
func (c *call) like(t Tensor) Tensor { return c.shaped(F32, t.nd, t.dim) }

func (c *call) shaped(d DType, nd uint8, dim [MaxDims]int32) Tensor {
	y := c.s.make(c.dev, d, nd, dim)
	c.op.Gives(y)
	return y
}

// gives adds the op to its queue and returns its result.
func (c *call) gives(y Tensor) Tensor {
	if c.s.err != nil {
		return Tensor{}
	}
	if c.s.told != c.s.count {
		c.s.tell()
	}
	if !c.s.measuring {
		c.s.queues[c.dev].Run(&c.op)
		c.s.multiplied = Tensor{}
		return y
	}
	for _, w := range c.s.workers {
		c.s.work = max(c.s.work, w.Work(&c.op))
	}
	return y
}

func (c *call) run() { c.gives(Tensor{}) }

func (c *call) fail(err error) {
	if c.by != "" {
		c.s.fail(fmt.Errorf("%s by %s: %w", c.op.Code, c.by, err))
	} else {
		c.s.fail(fmt.Errorf("%s: %w", c.op.Code, err))
	}
}

// refuse ends an op because of a number that it was given.
func (c *call) refuse(format string, args ...any) Tensor {
	if c.s.err == nil {
		c.fail(fmt.Errorf(format, args...))
	}
	return Tensor{}
}

// among says whether an operand's integers may look up one of n, and tells the largest if it may not.
func (c *call) among(t Tensor, n int) bool {
	if t.dtype == I32 && t.below > 0 && int64(t.below) > int64(n) {
		c.refuse("%d is not among %d", t.below-1, n)
	}
	return t.Indexes(n)
}
