package chat

// tagged.go: a call that is written in tags, with values that may speak of those tags. What both such formats do is here.

// tagged is what is known of the call.
type tagged struct {
	callContext
	scan  tagScan
	begun bool
	outer bool // <tool_call> came first
	at    int  // where the last tag that counts ends

	name   string   // of the function
	given  []string // its keys
	key    string   // of the value that is open
	from   int      // where it begins
	quoted int      // calls that were opened in it
	chain  closing
	best   *closing // the last place where the call may have ended
	behind bool     // words stand behind it
}

// closing is a run of closing tags, with nothing but white space between them, that may end a value.
type closing struct {
	value int    // where the value ends
	tag   string // the last one
	end   int    // where that ends
	// forgotten: the tag that closes the value is missing. inner: it belongs to a call that the value opened.
	forgotten, inner bool
}

// tagRules is what a format makes of its tags.
type tagRules interface {
	tags() []string
	mayGoOn(s string, end ending) bool   // what follows the last tag is what must follow it there
	take(s string, t tag) verdict        // the next tag
	settle(s string, at closing) verdict // the call ends with the value that is open
	refuse(s string) verdict             // it is none
	finish(s string, end ending) verdict // at the end of the answer
}

// readTags goes from tag to tag until the call is decided.
func (c *tagged) readTags(g tagRules, s string, end ending) verdict {
	if !c.begun {
		at, ok := behindOpening(s, end)
		if !ok {
			return verdict{}
		}
		c.begun, c.outer, c.at, c.scan.pos = true, at > 0, at, at
	}
	for {
		if !g.mayGoOn(s, end) {
			return g.refuse(s)
		}
		t, ok := c.scan.next(s, g.tags(), end)
		if c.best != nil && (ok && t.end > c.best.end+maxBehind || !ok && len(s) > c.best.end+maxBehind) {
			return g.settle(s, *c.best)
		}
		if !ok {
			break
		}
		if v := g.take(s, t); v.state != undecidedCall {
			return v
		}
	}
	if end == open {
		return verdict{}
	}
	return g.finish(s, end)
}

// openValue begins the value of key.
func (c *tagged) openValue(key string, from int) {
	c.key, c.from = key, from
	c.given = append(c.given, key)
	c.quoted, c.chain, c.best = 0, closing{}, nil
}

// mayEnd notes a place where the call may have ended.
func (c *tagged) mayEnd(at closing) bool {
	if at.forgotten || at.inner {
		return false
	}
	c.best, c.behind = &at, false
	return true
}
