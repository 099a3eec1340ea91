package jinja

// Limits bound one Render; a zero field takes its default. They are far above what a prompt needs (one of a
// thousand messages takes about 100,000 steps) and low enough that a hostile one ends within a second or so.
type Limits struct {
	Steps  int // nodes evaluated, items visited and, in units of 64 or 4, bytes looked at; default 5 million
	Depth  int // nested evaluations; default 1000
	Memory int // bytes of all strings and lists ever made; default 256 MiB
	Output int // bytes of the result; default 64 MiB
}

const (
	maxSource    = 1 << 20 // bytes of a template; the longest published one has about 30,000
	parseDepth   = 150     // nested brackets and blocks in a template
	valueDepth   = 500     // nested lists in a value that is printed, compared or hashed
	maxIntBits   = 16384   // of an integer; Python refuses to print more than 4300 digits, which is about this
	maxDigits    = 4300    // of a number that is read, as in Python
	maxRange     = 100000  // the sandbox's own limit for range()
	scanPerStep  = 64      // bytes looked at that count as one step
	stepsPerLook = 1000    // at the context: less than a millisecond
	readPerStep  = 4       // bytes that do if each character is decided on
)

func (l Limits) orDefault() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{{&l.Steps, 5_000_000}, {&l.Depth, 1000}, {&l.Memory, 256 << 20}, {&l.Output, 64 << 20}} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return l
}

// step counts n units of work.
func (r *run) step(n int) error {
	r.steps += n
	if r.steps > r.limits.Steps {
		return errorf(LimitError, "the template takes more than %d steps", r.limits.Steps)
	}
	if r.left == nil && r.steps-r.looked >= stepsPerLook {
		r.looked, r.left = r.steps, r.ctx.Err()
	}
	return r.left
}

// scan counts the reading of n bytes.
func (r *run) scan(n int) error { return r.step(1 + n/scanPerStep) }

// scanText is scan if v is text.
func (r *run) scanText(v Value) error {
	s, _ := str(v)
	return r.step(len(s) / scanPerStep)
}

// read counts the reading of n bytes character by character.
func (r *run) read(n int) error { return r.step(n / readPerStep) }

// grow counts the making of n bytes; call it before making them.
func (r *run) grow(n int) error {
	if n < 0 || n > r.limits.Memory-r.memory {
		return errorf(LimitError, "the template makes more than %d bytes of text and lists", r.limits.Memory)
	}
	r.memory += n
	return r.step(1 + n/scanPerStep)
}

// growItems counts the making of a list of n values.
func (r *run) growItems(n int) error {
	const word = 16
	if n > r.limits.Memory/word {
		n = r.limits.Memory/word + 1
	}
	return r.grow(n * word)
}

func (r *run) enter() error {
	r.depth++
	if r.depth > r.limits.Depth {
		return errorf(LimitError, "the template nests deeper than %d", r.limits.Depth)
	}
	return nil
}

func (r *run) leave() { r.depth-- }
