package conformance

// flaws_tools_test.go: flaws of tool calls.

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/inference-pio/inference-pio/sdk"
)

func toolFlaws() []mutant {
	var named atomic.Int64
	return failing("tools", []mutant{
		{flaw: "calls what is not there", must: "T2", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Chat != nil {
					r.Chat.ToolChoice = ""
				}
			})})},
		{flaw: "calls another function than the one named", must: "T2", plugin: one(&twin{
			generate: editedCalls(func(d *sdk.ToolCallDelta) {
				if d.ID != "" {
					d.Name = "now"
				}
			})})},
		{flaw: "calls the named function twice", must: "T2", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Chat != nil && r.Chat.ToolChoice == "function:get_weather" {
					r.Chat.ToolChoice = ""
				}
			})})},
		{flaw: "calls twice where one call is asked for", must: "T2", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Chat != nil {
					r.Chat.SingleCall = false
				}
			})})},
		{flaw: "names a call with each piece", must: "T1", plugin: one(&twin{
			generate: editedCalls(func(d *sdk.ToolCallDelta) { d.ID, d.Name = "call", "now" })})},
		{flaw: "cuts arguments short", must: "T1", plugin: one(&twin{
			generate: editedCalls(func(d *sdk.ToolCallDelta) {
				if d.Arguments == "}" {
					d.Arguments = ""
				}
			})})},
		{flaw: "gives two calls one id", must: "T1", plugin: one(&twin{
			generate: editedCalls(func(d *sdk.ToolCallDelta) {
				if d.ID != "" {
					d.ID = "call"
				}
			})})},
		{flaw: "hides that it calls", must: "T1", plugin: one(&twin{
			generate: edited(func(e *sdk.Event) {
				if e.Finish != nil && e.Finish.Reason == sdk.FinishToolCalls {
					e.Finish.Reason = sdk.FinishStop
				}
			})})},
		{flaw: "names calls anew when resuming", must: "T3", plugin: one(&twin{
			generate: editedCalls(func(d *sdk.ToolCallDelta) {
				if d.ID != "" {
					d.ID = fmt.Sprint("call_", named.Add(1))
				}
			})})},
	})
}

// editedCalls passes the pieces of the reference's calls through a change.
func editedCalls(change func(*sdk.ToolCallDelta)) func(context.Context, *reference, sdk.GenerateRequest, func(sdk.Event) error) error {
	return edited(func(e *sdk.Event) {
		if e.Token != nil {
			for i := range e.Token.ToolCalls {
				change(&e.Token.ToolCalls[i])
			}
		}
	})
}
