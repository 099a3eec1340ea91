// Package process runs plugin binaries: launch, handshake, health, bounded stop. It is the one place of the host that
// knows go-plugin, which carries the connection; the process itself, its pipes and its end are in our hands, through the
// runner interface that go-plugin offers.
package process
