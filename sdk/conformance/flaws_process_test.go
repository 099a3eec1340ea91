package conformance

// flaws_process_test.go: flaws of the process, and of how it describes itself.

import (
	"sync/atomic"

	"github.com/inference-pio/inference-pio/sdk"
)

func processFlaws() []mutant {
	return failing("process", []mutant{
		{flaw: "describes itself in words", must: "P1", file: true},
		{flaw: "fails to describe itself", must: "P1", file: true},
		{flaw: "describes another", must: "P1", file: true},
		{flaw: "says nothing to a person", must: "P2", file: true},
		{flaw: "is content with a person", must: "P2", file: true},
		{flaw: "talks before the handshake", must: "P3", file: true},
		{flaw: "listens elsewhere", must: "P3", file: true},
		{flaw: "loads before the handshake", must: "P4", file: true, timeout: brief},
		{flaw: "outlives its host", must: "P5", file: true, timeout: brief},
		{flaw: "takes SIGINT for its own", must: "P6", file: true},
		{flaw: "does not hear SIGTERM", must: "P6", file: true, timeout: brief},
		{flaw: "falls over its own end", must: "P6", file: true},
		{flaw: "writes a log without lines", must: "P7", file: true},
		{flaw: "speaks in the clear", must: "P8", file: true},
		{flaw: "lets anybody in", must: "P8", file: true},
		{flaw: "does not tell its health", must: "P9", file: true},
		{flaw: "is never well", must: "P9", file: true},
	})
}

func describeFlaws() []mutant {
	var mind atomic.Int64
	return failing("describe", []mutant{
		{flaw: "speaks another major than it speaks", must: "D1"},
		{flaw: "a name no file can have", must: "D1", plugin: one(&twin{
			describe: func(d sdk.Description) sdk.Description { d.Name = "Reference/1"; return d }})},
		{flaw: "a version that cannot be ordered", must: "D1", plugin: one(&twin{
			describe: func(d sdk.Description) sdk.Description { d.Version = "v1"; return d }})},
		{flaw: "changes its mind", must: "D2", plugin: one(&twin{
			describe: func(d sdk.Description) sdk.Description {
				d.Devices = make([]string, mind.Add(1))
				return d
			}})},
	})
}
