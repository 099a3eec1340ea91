// Package schema makes a grammar of a JSON Schema: the texts of the language are the JSON values that are valid under it.
//
// The schema is parsed, checked against its metaschema and resolved by github.com/santhosh-tekuri/jsonschema; what the values look like is
// decided here. All drafts from 4 to 2020-12 are read. Without $schema it is 2020-12, or 2019-09 if an "items" is an array.
//
// # Spelling
//
// Keys come in the order in which the schema names them, those it does not name behind them. White space is what people and models write:
// nothing or one space behind a colon, nothing, a space or a new line with its indentation between values; so no model is led to write
// blanks for ever. A string without a pattern may have any escape; with one, and in names and constants, characters stand for themselves and only
// those that must be are escaped. Numbers with bounds have no exponent.
//
// # What cannot be held
//
// Some keywords say more than a grammar can: [Schema.Loose] has them. With strict they are refused, by their place and name; else the grammar
// allows more than the schema, and [Schema.Check] tells of a complete value if it is valid.
package schema
