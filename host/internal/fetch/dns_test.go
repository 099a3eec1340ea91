package fetch

// dns_test.go is the tests' name server: the part of RFC 1035 that answers what the addresses of a name are.

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
)

// resolver knows the names and nothing else.
func resolver(names map[string][]string) *net.Resolver {
	return answering(func(name string, _ uint16) []string { return names[name] })
}

// answering asks addresses for each question, of which there are two for each connection: kind is typeA or typeAAAA.
func answering(addresses func(name string, kind uint16) []string) *net.Resolver {
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe() // a stream, as TCP
		go func() {
			defer server.Close()
			var length [2]byte
			if _, err := io.ReadFull(server, length[:]); err != nil {
				return
			}
			question := make([]byte, binary.BigEndian.Uint16(length[:]))
			if _, err := io.ReadFull(server, question); err != nil {
				return
			}
			answer := reply(question, addresses)
			_, _ = server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
		}()
		return client, nil
	}}
}

const typeA, typeAAAA = 1, 28

// reply answers a message with one question.
func reply(q []byte, addresses func(string, uint16) []string) []byte {
	const header = 12
	var labels []string
	i := header
	for q[i] != 0 {
		labels = append(labels, string(q[i+1:i+1+int(q[i])]))
		i += 1 + int(q[i])
	}
	kind := binary.BigEndian.Uint16(q[i+1:])
	question := q[header : i+5]

	var records []byte
	count := uint16(0)
	for _, s := range addresses(strings.Join(labels, "."), kind) {
		a := netip.MustParseAddr(s)
		if a.Is4() != (kind == typeA) || kind != typeA && kind != typeAAAA {
			continue
		}
		records = append(records, 0xc0, header) // the name in the question
		records = binary.BigEndian.AppendUint16(records, kind)
		records = append(records, 0, 1, 0, 0, 0, 0) // internet, not to be kept
		records = binary.BigEndian.AppendUint16(records, uint16(len(a.AsSlice())))
		records = append(records, a.AsSlice()...)
		count++
	}
	m := append([]byte(nil), q[:2]...)
	m = append(m, 0x81, 0x80, 0, 1) // an answer without error to one question
	m = binary.BigEndian.AppendUint16(m, count)
	m = append(m, 0, 0, 0, 0)
	return append(append(m, question...), records...)
}
