package main

import "time"

// parts.go says what is run, and in which order.

// part is a command of the bundle, or one of the machine's if it has no folder.
type part struct {
	name    string
	limit   time.Duration
	folder  string // where it runs, in the bundle
	command []string
}

// order is that of the models: what is compared with other engines first.
var order = []string{"qwen3_0_6b", "qwen3_4b_instruct", "qwen3_coder_30b", "qwen3_coder_next", "glm_4_7_flash", "qwen3_vl_2b"}

// slower is how much longer a part may take with the software driver.
const slower = 60

const second = time.Second

// parts of a bundle with so many models' tests.
func parts(models []string, small bool) []part {
	list := []part{
		{name: "devices", limit: 20 * second, command: []string{"./piohost", "devices", "--json"}},
		{name: "modules", limit: 100 * second, command: test("./tests/gpu.test", "^TestEveryModuleIsLoaded$")},
		{name: "kernels", limit: 120 * second, command: test("./tests/kernels.test", "")},
	}
	for _, m := range models {
		list = append(list, part{name: "model-" + m, limit: 40 * second, folder: "plugins/" + m, command: test("./tests/models", "^TestGPU_"+m+"$")})
	}
	list = append(list, timed(models, small)...)
	list = append(list,
		part{name: "copies", limit: 15 * second, command: []string{"./tests/gpu.test", "-test.run=^$", "-test.bench=^BenchmarkRates$", "-test.benchtime=1x"}},
		served(small),
		hopper("warpgroups", 60*second, "./tests/kernels.test", "-test.run=MatMul|Wide"),
		hopper("warpgroups-times", 60*second, "./tests/gpu.test", "-test.run=^TestWarpgroupsAreAskedFor$", "-test.bench=^BenchmarkManyRows$", "-test.benchtime="+map[bool]string{false: "200ms", true: "1x"}[small]),
	)
	for _, m := range models[:min(1, len(models))] {
		list = append(list, hopper("warpgroups-model", 40*second, "../../tests/models", "-test.run=^TestGPU_"+m+"$"))
		list[len(list)-1].folder = "plugins/" + m
	}
	return append(list,
		sanitized("memcheck", "Norms|Rotate|RowsAreMoved|Caches|Decay|MatMulOfARow"),
		sanitized("racecheck", "Norms|Decay|Argmax"),
	)
}

// test runs tests of a binary, all or those that match.
func test(binary, pattern string) []string {
	return []string{binary, "-test.v", "-test.timeout=0", "-test.run=" + pattern}
}

// timed are the figures: those that have something to be held against first.
func timed(models []string, small bool) (list []part) {
	has := map[string]bool{}
	for _, m := range models {
		has[m] = true
	}
	bench := func(model, name, form string, seconds int) {
		if !has[model] {
			return
		}
		length := "300ms"
		if small {
			length = "1x"
		}
		list = append(list, part{
			name: "time-" + model + "-" + form, limit: time.Duration(seconds) * second, folder: "plugins/" + model,
			command: []string{"./tests/models", "-test.run=^$", "-test.timeout=0", "-test.bench=^" + name + "_" + model + "$/^" + form + "$", "-test.benchtime=" + length},
		})
		if name == "BenchmarkGPUBatches" {
			list[len(list)-1].name += "-batches"
		}
	}
	bench("qwen3_0_6b", "BenchmarkGPU", "bf16", 30)
	bench("qwen3_4b_instruct", "BenchmarkGPU", "bf16", 40)
	list = append(list, part{name: "transformers", limit: 60 * second, command: []string{"python3", "peer.py"}})
	bench("qwen3_coder_30b", "BenchmarkGPU", "bf16", 60)
	bench("qwen3_coder_next", "BenchmarkGPU", "fp8", 60)
	bench("glm_4_7_flash", "BenchmarkGPU", "bf16", 60)
	bench("qwen3_vl_2b", "BenchmarkGPU", "bf16", 30)
	bench("qwen3_0_6b", "BenchmarkGPUBatches", "bf16", 30)
	bench("qwen3_4b_instruct", "BenchmarkGPUBatches", "bf16", 40)
	bench("qwen3_coder_30b", "BenchmarkGPUBatches", "bf16", 60)
	bench("qwen3_0_6b", "BenchmarkGPU", "q4", 40)
	bench("qwen3_4b_instruct", "BenchmarkGPU", "q4", 60)
	return list
}

// served is a model as a client has it, over HTTP: of the published shape, or the tiny one.
func served(small bool) part {
	args := []string{"./piohost", "bench", "--config", "served.toml", "shape", "--repeat", "2", "--prompt", "512,4096", "--generate", "64", "--streams", "1,8", "--json"}
	if small {
		args = []string{"./piohost", "bench", "--config", "served.toml", "tiny", "--repeat", "1", "--prompt", "8", "--generate", "4", "--streams", "1", "--json"}
	}
	return part{name: "served-0.6b", limit: 45 * second, command: args}
}

// hopper runs tests with products of many rows by Hopper's own instructions, which are off otherwise.
func hopper(name string, limit time.Duration, program string, args ...string) part {
	return part{name: name, limit: limit, command: append([]string{"env", "PIO_GPU_WARPGROUPS=1", program, "-test.v", "-test.timeout=0"}, args...)}
}

// sanitized runs small cases under a tool of NVIDIA's, where it is installed.
func sanitized(tool, tests string) part {
	return part{name: tool, limit: 45 * second, command: []string{"compute-sanitizer", "--tool", tool, "--error-exitcode", "9", "./tests/kernels.test", "-test.v", "-test.run=^Test(" + tests + ")"}}
}
