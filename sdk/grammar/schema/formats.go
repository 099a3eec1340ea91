// formats.go is the formats that strings may have, as patterns that match the whole.

package schema

const (
	hour, minute = `([01]\d|2[0-3])`, `[0-5]\d`
	// a leap year divides by 4, and by 400 if it divides by 100
	leapYear = `(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)`
	date     = `(\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))|` + leapYear + `-02-29)`
	clock    = hour + `:` + minute + `:` + minute + `(\.\d{1,9})?([zZ]|[+-]` + hour + `:` + minute + `)`

	label    = `[A-Za-z0-9]([A-Za-z0-9-]{0,58}[A-Za-z0-9])?`
	hostname = label + `(\.` + label + `){0,3}` // shorter labels and no more of them, which keeps it below 253 characters
	byteV4   = `(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`
	ipv4     = byteV4 + `(\.` + byteV4 + `){3}`
	word     = `[0-9A-Fa-f]{1,4}`

	atom  = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
	email = atom + `(\.` + atom + `)*@` + label + `(\.` + label + `){1,2}` // and of at most 254 characters, with
	local = `[^@]{1,64}@[^@]+`

	escaped   = `%[0-9A-Fa-f]{2}`
	pathRune  = `([A-Za-z0-9._~!$&'()*+,;=:@-]|` + escaped + `)`
	queryRune = `([A-Za-z0-9._~!$&'()*+,;=:@/?-]|` + escaped + `)`
	uriPath   = `(/` + pathRune + `*)*`
	uri       = `[A-Za-z][A-Za-z0-9+.-]*:(//` + `([A-Za-z0-9._~!$&'()*+,;=-]|` + escaped + `)*(:\d{1,5})?` + uriPath + `|/?` + pathRune + `+` + uriPath + `)` +
		`(\?` + queryRune + `*)?(#` + queryRune + `*)?`
)

// formats by name: all of the patterns match. Where a format has rarer members than these, those are left out: a leap second, a quoted local part of an address.
var formats = map[string][]string{
	"date":      {date},
	"time":      {clock},
	"date-time": {date + `[tT]` + clock},
	"duration":  {`P((\d{1,9}Y(\d{1,9}M(\d{1,9}D)?)?|\d{1,9}M(\d{1,9}D)?|\d{1,9}D)(T(\d{1,9}H(\d{1,9}M(\d{1,9}S)?)?|\d{1,9}M(\d{1,9}S)?|\d{1,9}S))?|T(\d{1,9}H(\d{1,9}M(\d{1,9}S)?)?|\d{1,9}M(\d{1,9}S)?|\d{1,9}S)|\d{1,9}W)`},
	"email":     {email, local},
	"hostname":  {hostname},
	"ipv4":      {ipv4},
	"ipv6": {`((` + word + `:){7}` + word + `|(` + word + `:){1,7}:|(` + word + `:){1,6}:` + word + `|(` + word + `:){1,5}(:` + word + `){1,2}|(` + word + `:){1,4}(:` + word +
		`){1,3}|(` + word + `:){1,3}(:` + word + `){1,4}|(` + word + `:){1,2}(:` + word + `){1,5}|` + word + `:(:` + word + `){1,6}|:((:` + word + `){1,7}|:))`},
	"uri":          {uri},
	"uuid":         {`[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}`},
	"json-pointer": {`(/([^/~]|~[01])*)*`},
}
