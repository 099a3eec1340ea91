// Package proto holds the contract between host and plugin, plugin.proto, and the rules it is linted by. The Go code made
// from it is in sdk/internal/pb; authors use the types of package sdk instead.
package proto

//go:generate ../buf.sh generate -o ../../internal/pb
