// Package process runs plugin binaries: launch, handshake, health, bounded stop. It is the one place of the host that
// knows go-plugin.
//
// go-plugin keeps what it is good at: the handshake line, mutual TLS, the gRPC connection. The operating system's side is
// in our hands, through the runner interface that go-plugin offers: what is executed (binary.go), the process
// and its end (child.go), the keeper between the two (keeper.go), what it inherits (env.go), where its socket lies
// (sockets.go), and what it prints (stdout.go, stderr.go, tail.go). HAZARDS.md lists
// what can go wrong there, with the remedy and the test of each.
//
// The invariants: Start and Stop return in bounded time whatever the plugin does. After a failed Start, and after Stop,
// nothing of the process is left in the host, no goroutine, descriptor or file, unless the kernel itself cannot end it.
// Done is closed as soon as the process has ended, with Exit complete. Nothing that a plugin started outlives it, nothing of
// plugins the host. A program that calls Start must call Keep first of all.
//
// Linux only: the executable copy of a binary (memfd) and waiting for a process without reaping it have no portable form.
package process
