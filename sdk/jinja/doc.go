// Package jinja renders templates that come from a stranger: the part of Jinja 2 that the templates of checkpoints use, as
// the reference environment for them is set up (sandboxed and immutable, trim_blocks, lstrip_blocks, loop controls, tojson
// without HTML escapes, raise_exception, strftime_now, a generation block). It knows nothing of conversations; sdk/chat gives it
// one as values.
//
//	t, err := jinja.Parse(source)
//	text, err := t.Render(ctx, jinja.Input{Vars: map[string]jinja.Value{"name": "you"}})
//
// Values behave as Python's do, because templates are written against Python: None prints as "None", 1.0 as "1.0",
// dictionaries keep their order, strings are sequences of code points, integers do not overflow. [FromJSON] reads a
// request into such values without losing the order of keys or the difference between 1 and 1.0.
//
// A template comes with a checkpoint and is hostile until shown otherwise. It can reach nothing but the values it is
// given: there are no loaders, no attributes beyond the tables here, and no way to change a value. [Limits] bound its
// steps, nesting, memory and output, so every Render ends.
//
// # Where it differs
//
// lipsum, random, pprint, filesizeformat, wordwrap, urlize, xmlattr, template inheritance and autoescape are missing: no
// template of a prompt can use them meaningfully. They are errors, never silence. Names are looked up when they are read: where
// the reference decides beforehand that a name belongs to a block, because the block sets it further down, we still find
// the one outside.
package jinja
