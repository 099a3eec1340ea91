// compile.go makes a network of nodes of an expression: each says what is read and which node comes next.

package grammar

import (
	"errors"
	"fmt"

	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// maxNodes bounds a compiled grammar, maxDepth how deep an expression may be.
const (
	maxNodes = 1 << 18
	maxDepth = 1 << 12
)

// ErrEmpty says that no text belongs to a language.
var ErrEmpty = errors.New("no text belongs to it")

// ErrSize says that a grammar is too large.
var ErrSize = fmt.Errorf("a grammar has at most %d nodes", maxNodes)

// Grammar is a language, compiled. It never changes.
type Grammar struct {
	nodes []node
	start int32
}

type node struct {
	op          nodeOp
	next        int32
	text        string             // of nodeLiteral
	set         *automaton.Bytes   // of nodeRegular
	least, most int32              // of nodeRegular, nodeRepeat, nodeDistinct and nodeUnlike; most below 0: no bound
	not         *names             // of nodeRegular: strings that it does not read; nil if it reads all
	ids         []int32            // of nodeToken
	alts        []int32            // of nodeSplit; of nodeDistinct for each part: as the first, and behind another; of nodeUnlike: the first, and those behind another
	body        int32              // of nodeCall and nodeRepeat
	part        int32              // of nodeRegular: the part of a nodeUnlike that begins with it, from 1 on
	sets        []*automaton.Bytes // of nodeUnlike, by part
	taken       *told              // of nodeUnlike: what no part may begin with
}

type nodeOp uint8

const (
	nodeEnd      nodeOp = iota // of a rule, or of a repetition's body
	nodeLiteral                // reads a text
	nodeRegular                // reads a text of a set
	nodeToken                  // reads one token
	nodeSplit                  // goes on at any of alts
	nodeCall                   // reads a rule
	nodeRepeat                 // reads its body again and again
	nodeDistinct               // reads each of its parts at most once
	nodeUnlike                 // reads parts of which none begins as another
)

// compiler knows of each rule what it can be, and where its nodes begin.
type compiler struct {
	nodes      []node
	rules      []*Rule
	productive map[*Rule]bool // there is a text
	nullable   map[*Rule]bool // the empty text is one
	entry      map[*Rule]int32
	parts      int // seen by collect
}

// Compile checks an expression. Its errors are ErrEmpty, ErrSize, and that a rule begins with itself.
func (e *Expr) Compile() (*Grammar, error) {
	c := &compiler{productive: map[*Rule]bool{}, nullable: map[*Rule]bool{}, entry: map[*Rule]int32{}}
	if err := c.collect(e, map[*Rule]bool{}, 0); err != nil {
		return nil, err
	}
	c.settle(c.productive, c.lives)
	c.settle(c.nullable, c.empty)
	if !c.lives(e) {
		return nil, ErrEmpty
	}
	if err := c.refuseLeftRecursion(); err != nil {
		return nil, err
	}
	end := c.add(node{op: nodeEnd})
	for _, r := range c.rules { // all entries first: rules use each other
		if c.productive[r] {
			c.entry[r] = c.add(node{op: nodeSplit})
		}
	}
	for _, r := range c.rules {
		if c.productive[r] {
			body, err := c.emit(r.Body, end)
			if err != nil {
				return nil, err
			}
			c.nodes[c.entry[r]].alts = []int32{body}
		}
	}
	start, err := c.emit(e, end)
	if err != nil {
		return nil, err
	}
	return &Grammar{nodes: c.nodes, start: start}, nil
}

// collect finds the rules that are used, and refuses what is too large before anything else looks at it.
func (c *compiler) collect(e *Expr, seen map[*Rule]bool, depth int) error {
	if c.parts++; c.parts > maxNodes || depth > maxDepth {
		return ErrSize
	}
	if e.op == opRule && !seen[e.rule] {
		seen[e.rule] = true
		c.rules = append(c.rules, e.rule)
		if e.rule.Body == nil {
			return fmt.Errorf("rule %q is used and not defined", e.rule.Name)
		}
		return c.collect(e.rule.Body, seen, depth+1)
	}
	for _, p := range e.parts {
		if err := c.collect(p, seen, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// settle finds all rules that have a property which follows from that of others. Each pass goes backwards: rules use what was found after them.
func (c *compiler) settle(has map[*Rule]bool, test func(*Expr) bool) {
	for changed := true; changed; {
		changed = false
		for i := len(c.rules) - 1; i >= 0; i-- {
			if r := c.rules[i]; !has[r] && test(r.Body) {
				has[r], changed = true, true
			}
		}
	}
}

// lives says that some text belongs to e.
func (c *compiler) lives(e *Expr) bool {
	switch e.op {
	case opRegular:
		return !e.set.Empty() && (e.most < 0 || e.least <= e.most)
	case opToken:
		return len(e.ids) > 0
	case opSeq:
		for _, p := range e.parts {
			if !c.lives(p) {
				return false
			}
		}
	case opAlt:
		for _, p := range e.parts {
			if c.lives(p) {
				return true
			}
		}
		return false
	case opRepeat:
		return (e.most < 0 || e.least <= e.most) && (e.least <= 0 || c.lives(e.parts[0]))
	case opDistinct:
		return len(e.parts)-1 <= MaxDistinct && (e.most < 0 || e.least <= e.most) && c.count(e.parts[1:], c.lives) >= e.least && (e.least < 2 || c.lives(e.parts[0]))
	case opUnlike:
		return (e.most < 0 || e.least <= e.most) && c.different(e) >= e.least && (e.least < 2 || c.lives(e.parts[0]))
	case opRule:
		return c.productive[e.rule]
	}
	return true
}

// different is how many parts an Unlike can have, as far as it matters.
func (c *compiler) different(e *Expr) (n int) {
	for i, p := range e.parts[1:] {
		if c.lives(p) {
			n += e.counts[i]
		}
	}
	return n
}

// count is for how many of the parts a test holds.
func (c *compiler) count(parts []*Expr, test func(*Expr) bool) (n int) {
	for _, p := range parts {
		if test(p) {
			n++
		}
	}
	return n
}

// empty says that the empty text belongs to e.
func (c *compiler) empty(e *Expr) bool {
	switch e.op {
	case opRegular:
		return !e.set.Empty() && e.set.Accepts(0) && e.least == 0
	case opSeq:
		for _, p := range e.parts {
			if !c.empty(p) {
				return false
			}
		}
		return true
	case opAlt:
		for _, p := range e.parts {
			if c.empty(p) {
				return true
			}
		}
	case opRepeat:
		return e.least <= 0 || c.empty(e.parts[0])
	case opUnlike:
		return e.least <= 0
	case opDistinct:
		return e.least <= 0 || c.count(e.parts[1:], c.empty) >= e.least && (e.least == 1 || c.empty(e.parts[0]))
	case opRule:
		return c.nullable[e.rule]
	}
	return false
}

// refuseLeftRecursion finds a rule that begins with itself: its stack would grow without a byte read.
func (c *compiler) refuseLeftRecursion() error {
	const under, done = 1, 2
	state := map[*Rule]int{}
	var visit func(r *Rule) error
	visit = func(r *Rule) error {
		if state[r] == done {
			return nil
		}
		if state[r] == under {
			return fmt.Errorf("rule %q begins with itself; write it with a repetition", r.Name)
		}
		state[r] = under
		for _, first := range c.first(r.Body, nil) {
			if err := visit(first); err != nil {
				return err
			}
		}
		state[r] = done
		return nil
	}
	for _, r := range c.rules {
		if c.productive[r] {
			if err := visit(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// first adds the rules that a text of e may begin with.
func (c *compiler) first(e *Expr, list []*Rule) []*Rule {
	if !c.lives(e) {
		return list
	}
	switch e.op {
	case opSeq:
		for _, p := range e.parts {
			list = c.first(p, list)
			if !c.empty(p) {
				break
			}
		}
	case opAlt, opRepeat, opDistinct:
		for _, p := range e.parts {
			list = c.first(p, list)
		}
	case opRule:
		list = append(list, e.rule)
	}
	return list
}

func (c *compiler) add(n node) int32 {
	c.nodes = append(c.nodes, n)
	return int32(len(c.nodes) - 1)
}

// emit makes the nodes that read e and then go on at next. There is a text in e.
func (c *compiler) emit(e *Expr, next int32) (int32, error) {
	if len(c.nodes) > maxNodes {
		return 0, ErrSize
	}
	switch e.op {
	case opLiteral:
		return c.add(node{op: nodeLiteral, text: e.text, next: next}), nil
	case opRegular:
		return c.add(node{op: nodeRegular, set: e.set, least: int32(e.least), most: int32(e.most), not: e.not, next: next}), nil
	case opToken:
		return c.add(node{op: nodeToken, ids: e.ids, next: next}), nil
	case opRule:
		return c.add(node{op: nodeCall, body: c.entry[e.rule], next: next}), nil
	case opSeq:
		for i := len(e.parts) - 1; i >= 0; i-- {
			var err error
			if next, err = c.emit(e.parts[i], next); err != nil {
				return 0, err
			}
		}
		return next, nil
	case opAlt:
		return c.emitAlt(e, next)
	case opDistinct:
		return c.emitDistinct(e, next)
	case opUnlike:
		return c.emitUnlike(e, next)
	}
	return c.emitRepeat(e, next)
}

func (c *compiler) emitAlt(e *Expr, next int32) (int32, error) {
	n := node{op: nodeSplit}
	for _, p := range e.parts {
		if !c.lives(p) {
			continue
		}
		at, err := c.emit(p, next)
		if err != nil {
			return 0, err
		}
		n.alts = append(n.alts, at)
	}
	if len(n.alts) == 1 {
		return n.alts[0], nil
	}
	return c.add(n), nil
}

func (c *compiler) emitRepeat(e *Expr, next int32) (int32, error) {
	part := e.parts[0]
	if !c.lives(part) || e.most == 0 {
		return next, nil
	}
	end := c.add(node{op: nodeEnd})
	body, err := c.emit(part, end)
	if err != nil {
		return 0, err
	}
	least := e.least
	if c.empty(part) { // as many empty ones as are lacking
		least = 0
	}
	return c.add(node{op: nodeRepeat, body: body, least: int32(least), most: int32(e.most), next: next}), nil
}

func (c *compiler) emitDistinct(e *Expr, next int32) (int32, error) {
	n, end := node{op: nodeDistinct, least: int32(e.least), most: int32(e.most), next: next}, c.add(node{op: nodeEnd})
	separator := e.parts[0]
	if !c.lives(separator) && n.most != 0 {
		n.most = 1
	}
	for _, p := range e.parts[1:] {
		if !c.lives(p) {
			continue
		}
		first, err := c.emit(p, end)
		if err != nil {
			return 0, err
		}
		behind := first
		if n.most != 1 {
			if behind, err = c.emit(separator, first); err != nil {
				return 0, err
			}
		}
		n.alts = append(n.alts, first, behind)
	}
	return c.add(n), nil
}

func (c *compiler) emitUnlike(e *Expr, next int32) (int32, error) {
	end, separator := c.add(node{op: nodeEnd}), e.parts[0]
	n := node{op: nodeUnlike, least: int32(e.least), most: int32(e.most), next: next}
	first := node{op: nodeSplit}
	for i, behind := range e.parts[1:] {
		if e.counts[i] == 0 || !c.lives(behind) {
			continue
		}
		to, err := c.emit(behind, end)
		if err != nil {
			return 0, err
		}
		n.sets = append(n.sets, e.sets[i])
		first.alts = append(first.alts, c.add(node{op: nodeRegular, set: e.sets[i], most: -1, part: int32(len(n.sets)), next: to}))
	}
	for _, text := range e.taken {
		n.taken = n.taken.with(text, n.sets)
	}
	body := c.add(first)
	n.alts = []int32{body, body}
	switch {
	case len(n.sets) == 0:
		n.most = 0
	case c.lives(separator):
		var err error
		if n.alts[1], err = c.emit(separator, body); err != nil {
			return 0, err
		}
	case n.most != 0:
		n.most = 1
	}
	return c.add(n), nil
}

// Empty says that no text belongs to an expression.
func Empty(e *Expr) bool {
	c := &compiler{productive: map[*Rule]bool{}, nullable: map[*Rule]bool{}}
	if err := c.collect(e, map[*Rule]bool{}, 0); err != nil {
		return false
	}
	c.settle(c.productive, c.lives)
	return !c.lives(e)
}
