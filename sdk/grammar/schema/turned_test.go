// turned_test.go is schemas that deny, depend and count: what follows from them is held while a value is written.

package schema

import "testing"

var turned = []heldCase{
	{"not a constant", `{"type":"string","maxLength":3,"not":{"const":"no"}}`, []string{`"n"`, `"no!"`, `""`}, []string{`"no"`}},
	{"none of some values", `{"not":{"enum":["a",1,true,null,[1,2],{"k":1}]}}`,
		[]string{`"b"`, `2`, `1.5`, `false`, `[1]`, `[1,3]`, `[2,2]`, `{}`, `{"k":2}`, `{"k":1,"l":1}`}, []string{`"a"`, `1`, `1.0`, `true`, `null`, `[1,2]`, `{"k":1}`}},
	{"not a type", `{"not":{"type":["object","integer"]}}`, []string{`"a"`, `1.5`, `[]`, `null`}, []string{`{}`, `1`, `1.0`}},
	{"not a key", `{"type":"object","not":{"required":["a"]},"properties":{"b":{"type":"integer"}}}`, []string{`{}`, `{"b":1}`, `{"c":1}`}, []string{`{"a":1}`, `{"b":1,"a":2}`}},
	{"not a range", `{"type":"number","not":{"minimum":1,"maximum":5}}`, []string{`0`, `5.5`}, []string{`1`, `3.25`, `5`}},
	{"not a multiple", `{"type":"integer","minimum":0,"maximum":20,"not":{"multipleOf":3}}`, []string{`1`, `20`}, []string{`0`, `3`, `18`}},
	{"not a pattern", `{"type":"string","not":{"pattern":"^a"},"maxLength":4}`, []string{`""`, `"ba"`}, []string{`"a"`, `"ab"`}},
	{"no wrong items", `{"type":"array","not":{"items":{"type":"integer"}}}`, []string{`["a"]`, `[1,null,2]`}, []string{`[]`, `[1,2]`}},
	{"not a closed object", `{"type":"object","not":{"properties":{"a":{}},"additionalProperties":false}}`, []string{`{"b":1}`, `{"a":1,"b":2}`}, []string{`{}`, `{"a":1}`}},
	{"not what names allow", `{"type":"object","not":{"propertyNames":{"maxLength":2}}}`, []string{`{"abc":1}`, `{"a":1,"abc":1}`}, []string{`{}`, `{"ab":1}`}},
	{"twice not", `{"not":{"not":{"type":"boolean"}}}`, []string{`true`}, []string{`1`}},
	{"if by a constant", `{"type":"object","properties":{"k":{"enum":["a","b"]},"n":{"type":"integer"}},"required":["k"],"if":{"properties":{"k":{"const":"a"}}},"then":{"required":["n"]},"else":{"not":{"required":["n"]}}}`,
		[]string{`{"k":"a","n":1}`, `{"k":"b"}`}, []string{`{"k":"a"}`, `{"k":"b","n":1}`}},
	{"several ifs", `{"type":"object","properties":{"k":{"enum":["a","b","c"]},"x":{"type":"integer"},"y":{"type":"integer"}},"required":["k"],"additionalProperties":false,"allOf":[
		{"if":{"properties":{"k":{"const":"a"}},"required":["k"]},"then":{"required":["x"]}},{"if":{"properties":{"k":{"const":"b"}},"required":["k"]},"then":{"required":["y"]}}]}`,
		[]string{`{"k":"a","x":1}`, `{"k":"b","y":1}`, `{"k":"c"}`, `{"k":"c","x":1,"y":2}`}, []string{`{"k":"a"}`, `{"k":"b","x":1}`, `{"x":1}`}},
	{"if a key is there", `{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"if":{"required":["a"]},"then":{"properties":{"b":{"minimum":5}}},"else":{"required":["b"]}}`,
		[]string{`{"a":1}`, `{"a":1,"b":5}`, `{"b":1}`}, []string{`{"a":1,"b":4}`, `{}`}},
	{"keys that depend", `{"type":"object","properties":{"a":{"const":1},"b":{"const":2},"c":{"const":3}},"dependentRequired":{"a":["b"],"c":["a"]},"additionalProperties":false}`,
		[]string{`{}`, `{"b":2}`, `{"a":1,"b":2}`, `{"a":1,"b":2,"c":3}`}, []string{`{"a":1}`, `{"c":3}`, `{"b":2,"c":3}`}},
	{"schemas that depend", `{"properties":{"a":{"type":"integer"}},"dependentSchemas":{"a":{"properties":{"b":{"type":"string"}},"required":["b"]}},"type":"object"}`,
		[]string{`{}`, `{"b":1}`, `{"a":1,"b":"x"}`}, []string{`{"a":1}`, `{"a":1,"b":1}`}},
	{"draft 7's dependencies", `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"a":{},"b":{}},"dependencies":{"a":["b"]}}`, []string{`{"b":1}`, `{"a":1,"b":2}`}, []string{`{"a":1}`}},
	{"one item of a kind", `{"type":"array","items":{"type":"integer"},"contains":{"minimum":5}}`, []string{`[5]`, `[1,7,2]`}, []string{`[]`, `[1,2]`}},
	{"two at most", `{"type":"array","items":{"enum":["a","b"]},"contains":{"const":"a"},"minContains":1,"maxContains":2,"maxItems":4}`,
		[]string{`["a"]`, `["b","a","a","b"]`}, []string{`["b"]`, `["a","a","a"]`, `["a","b","b","b","b"]`}},
	{"items that differ", `{"type":"array","items":{"enum":["a","b","c"]},"uniqueItems":true,"minItems":1}`, []string{`["a"]`, `["c","a","b"]`}, []string{`[]`, `["a","a"]`, `["a","b","a"]`, `["a","b","c","a"]`}},
	{"numbers that differ", `{"type":"array","items":{"type":"integer","minimum":1,"maximum":3},"uniqueItems":true,"maxItems":2}`, []string{`[]`, `[3,1]`}, []string{`[1,1]`, `[1,2,3]`, `[4]`}},
	{"strings that differ", `{"type":"array","items":{"type":"string"},"uniqueItems":true}`,
		[]string{`[]`, `["a"]`, `["a","ab","A","","é"]`, "[\n  \"a\",\n  \"b\"\n]"}, []string{`["a","a"]`, `["a","b","a"]`, `["",""]`, `["é","\u00e9"]`}},
	{"strings of a pattern that differ", `{"type":"array","items":{"type":"string","pattern":"^(a|ab+)$"},"uniqueItems":true,"minItems":2}`, []string{`["a","ab"]`, `["abb","ab"]`}, []string{`["a"]`, `["ab","a","ab"]`}},
	{"objects that differ, as a set of frozen models", `{"type":"array","uniqueItems":true,"items":{"$ref":"#/$defs/P"},"$defs":{"P":{"type":"object","properties":{"name":{"type":"string"},"n":{"type":"integer"},"x":{"anyOf":[{"type":"number"},{"type":"null"}]}},"required":["name"],"additionalProperties":false}}}`,
		[]string{`[]`, `[{"name":"a"},{"name":"b"},{"name":"a","n":1},{"name":"a","n":12},{"name":"a","x":null},{"name":"a","x":1.5}]`, "[\n  {\"name\":\"a\"},\n  {\"name\":\"\\\"\"}\n]"},
		[]string{`[{"name":"a"},{"name":"a"}]`, `[{"name":"a","n":1},{"name":"b"},{"name":"a","n":1}]`, `[{"name":"a","x":1},{"name":"a","x":1.0}]`, `[{"name":"a"},{"name":"\u0061"}]`, `[{"name":"a","n":1},{"n":1,"name":"a"}]`}},
	{"tuples that differ, as a set of them", `{"type":"array","uniqueItems":true,"items":{"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}],"minItems":2,"maxItems":2}}`,
		[]string{`[["a",1],["a",2],["b",1]]`}, []string{`[["a",1],["a",1]]`, `[["a"]]`}},
	{"arrays of which there are but seven", `{"type":"array","uniqueItems":true,"minItems":7,"items":{"type":"array","items":{"type":"boolean"},"maxItems":2}}`,
		[]string{`[[],[true],[true,true],[false,true],[true,false],[false,false],[false]]`}, []string{`[[],[]]`, `[[],[true],[true,true],[false,true],[true,false],[false,false]]`, `[[],[true],[true]]`}},
	{"values of any kind that differ", `{"type":"array","uniqueItems":true,"items":{"type":["array","string"],"items":{"type":"object","properties":{"k":{"enum":["a","b",1,1.0]}},"additionalProperties":false}}}`,
		[]string{`["x",[],[{}],[{},{"k":"a"}],[{"k":1}]]`}, []string{`["x",[],"x"]`, `[[{"k":1}],[{"k":1.0}]]`}},
	{"a tree whose leaves are those of who refers to it", `{"$id":"http://example.com/ints","$ref":"#/$defs/list","$defs":{
		"int":{"$dynamicAnchor":"leaf","type":"integer"},
		"list":{"$id":"http://example.com/list","type":"array","items":{"anyOf":[{"$dynamicRef":"#leaf"},{"$ref":"#"}]},"$defs":{"any":{"$dynamicAnchor":"leaf","type":"string"}}}}}`,
		[]string{`[]`, `[1,[2,[]]]`}, []string{`["a"]`, `[1,["a"]]`}},
	{"a schema that is closed all the way down", `{"$ref":"http://example.com/closed","$defs":{
		"tree":{"$id":"http://example.com/tree","$dynamicAnchor":"kid","type":"object","properties":{"v":{"type":"integer"},"kids":{"type":"array","items":{"$dynamicRef":"#kid"}}}},
		"closed":{"$id":"http://example.com/closed","$dynamicAnchor":"kid","$ref":"http://example.com/tree","unevaluatedProperties":false}}}`,
		[]string{`{}`, `{"v":1,"kids":[{"v":2,"kids":[]}]}`}, []string{`{"w":1}`, `{"kids":[{"w":1}]}`}},
	{"the same of 2019-09", `{"$schema":"https://json-schema.org/draft/2019-09/schema","$id":"http://example.com/closed","$recursiveAnchor":true,"$ref":"http://example.com/tree","unevaluatedProperties":false,"$defs":{
		"tree":{"$id":"http://example.com/tree","$recursiveAnchor":true,"type":"object","properties":{"v":{"type":"integer"},"kids":{"type":"array","items":{"$recursiveRef":"#"}}}}}}`,
		[]string{`{}`, `{"v":1,"kids":[{"v":2,"kids":[]}]}`}, []string{`{"w":1}`, `{"kids":[{"w":1}]}`}},
	{"all of a few", `{"type":"array","items":{"type":"string","pattern":"^[a-f]{1,2}$"},"uniqueItems":true,"minItems":42}`, nil, []string{`["a"]`}},
	{"any scalars that differ", `{"type":"array","items":{"type":["number","string","boolean","null"]},"uniqueItems":true}`,
		[]string{`[1,"1",true,null,false,1.5,-1]`, `[0,10,100]`}, []string{`[1,1.0]`, `[1,10e-1]`, `[1.5,1.50]`, `[0,-0]`, `[null,2,null]`}},
	{"pydantic, a set of integers", `{"type":"array","items":{"type":"integer","exclusiveMinimum":0},"uniqueItems":true,"maxItems":3}`, []string{`[3,1,2]`, `[1,11,111]`}, []string{`[1,2,1]`, `[0]`, `[1,2,3,4]`}},
	{"constants and strings that differ", `{"type":"array","items":{"anyOf":[{"const":"all"},{"type":"string","minLength":2,"maxLength":2},{"const":1}]},"uniqueItems":true}`,
		[]string{`["all","ab",1]`}, []string{`["all","all"]`, `[1,1]`, `["ab","ab"]`, `["a"]`}},
	{"keys that are counted", `{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"integer"},"minProperties":3}`,
		[]string{`{"a":1,"b":2,"c":3}`, `{"b":1,"c":2,"d":3}`}, []string{`{"b":1,"b":2,"b":3}`, `{"a":1,"b":2,"b":3}`, `{"b":1,"c":2,"a":3}`, `{"b":1,"c":2}`}},
	{"keys of patterns that are counted", `{"type":"object","patternProperties":{"^x":{"type":"integer"},"1$":{"maximum":5}},"additionalProperties":false,"minProperties":2,"maxProperties":3}`,
		[]string{`{"x":9,"x1":5}`, `{"a1":"s","x":9,"b1":1}`}, []string{`{"x":1,"x":2}`, `{"x1":6,"x":1}`, `{"x":1}`}},
	{"a named key among few", `{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"string"},"propertyNames":{"enum":["a","ab","b"]}}`,
		[]string{`{"a":1,"ab":"x","b":"y"}`, `{"b":"y"}`}, []string{`{"b":"y","a":"x"}`, `{"a":"x"}`, `{"c":"x"}`}},
	{"a dynamic reference to the only anchor of its name", `{"$dynamicAnchor":"node","type":"object","properties":{"v":{"type":"integer"},"kids":{"type":"array","items":{"$dynamicRef":"#node"}}},"required":["v"],"additionalProperties":false}`,
		[]string{`{"v":1,"kids":[{"v":2,"kids":[]}]}`}, []string{`{"v":1,"kids":[{}]}`, `{"v":1,"kids":[{"v":2,"x":1}]}`}},
	{"places that differ", `{"prefixItems":[{"type":"string"},{"type":"integer"}],"items":false,"uniqueItems":true,"type":"array","maxItems":2}`, []string{`["a",1]`, `[]`}, []string{`[1]`}},
	{"one of two that overlap", `{"type":"integer","minimum":0,"maximum":30,"oneOf":[{"multipleOf":3},{"multipleOf":5}]}`, []string{`3`, `5`, `9`, `25`}, []string{`0`, `15`, `30`, `1`}},
	{"one of two keys", `{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"oneOf":[{"required":["a"]},{"required":["b"]}]}`, []string{`{"a":1}`, `{"b":1}`}, []string{`{}`, `{"a":1,"b":1}`}},
	{"one of two closed objects", `{"oneOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false},{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"],"additionalProperties":false}]}`,
		[]string{`{"a":1,"b":"x"}`}, []string{`{"a":1}`, `{"a":1,"c":1}`}},
	{"nothing but what allOf names", `{"type":"object","allOf":[{"$ref":"#/$defs/a"},{"properties":{"b":{"type":"string"}}}],"unevaluatedProperties":false,"$defs":{"a":{"properties":{"a":{"type":"integer"}},"required":["a"]}}}`,
		[]string{`{"a":1}`, `{"a":1,"b":"x"}`}, []string{`{}`, `{"a":1,"c":1}`}},
	{"nothing but what a choice names", `{"type":"object","properties":{"k":{"type":"string","maxLength":2}},"anyOf":[{"properties":{"x":{"type":"integer"}},"required":["x"]},{"properties":{"y":{"type":"integer"}},"required":["y"]}],"unevaluatedProperties":false}`,
		[]string{`{"x":1}`, `{"k":"a","y":1}`, `{"x":1,"y":2}`}, []string{`{}`, `{"x":1,"z":1}`, `{"x":1,"y":"a"}`}},
	{"nothing but the items that are spoken of", `{"type":"array","prefixItems":[{"type":"string"}],"unevaluatedItems":false}`, []string{`["a"]`, `[]`}, []string{`["a",1]`}},
}

func TestWhatDeniesDependsAndCountsIsHeld(t *testing.T) {
	for _, c := range turned {
		c.test(t)
	}
}
