# Everything a user or a contributor runs. `make` alone lists the targets. Needs Go, gcc and make.

PLUGINS := $(notdir $(patsubst %/main.go,%,$(wildcard plugins/*/main.go)))
PYTHON ?= python3
QUANTISED ?= bin/quantised
FUZZTIME ?= 10s
SOAK_KILLS ?= 500
SOAK_TIME ?= 15m
SOAK_SEED ?= 1
RACE := ./sdk/... ./host/... ./cuda/far/... ./cuda/serve/...

# The back end for GPUs is built in everywhere: with the tag cuda, our own cuda.h before any toolkit's, and an empty libcuda.a, for the driver
# is looked for when it is first asked for. The variables take the place of Go's own -O2 -g.
export CGO_CFLAGS := -O2 -g -I$(CURDIR)/cuda/include -Wno-deprecated-declarations
export CGO_LDFLAGS := -O2 -g -L$(CURDIR)/cuda/lib
export GOFLAGS := $(GOFLAGS) -tags=cuda

.DEFAULT_GOAL := help
.PHONY: help build run test race sanitize neon emulate kernels ptxas gpu-sim roofline gpu-check lint api generate bench hybrid soak fuzz clients agents page hub quantised mutants

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-9s %s\n", $$1, $$2}'

build: ## build bin/piohost, bin/plugins/* and bin/pio.lock
	go build -trimpath -o bin/piohost ./host/cmd/piohost
	@for p in $(PLUGINS); do echo "go build -trimpath -o bin/plugins/$$p ./plugins/$$p"; go build -trimpath -o bin/plugins/$$p ./plugins/$$p || exit 1; done
	bin/piohost plugin lock bin/plugins

run: build ## serve the embedded tiny models on http://127.0.0.1:8080
	bin/piohost --config models.toml

test: ## all tests (what the continuous integration runs)
	go vet ./...
	go vet -tags "" ./cuda/gpu/... ./cuda/serve ./host/internal/devices # as `go build` without the Makefile has them
	go test -timeout 20m ./...

emulate: ## the kernels' tests through the tables for AVX-512 and AMX, against a model of their instructions
	go test -timeout 60m -tags cuda,pio_model ./cuda/cpu

race: ## the concurrent parts under the race detector
	go test -race -timeout 30m $(RACE)

sanitize: ## the kernels' tests with checks of every address and of undefined behaviour
	.ci/sanitize

neon: ## the kernels for 64-bit ARM, compiled and run under emulation
	.ci/neon

gpu-sim: ## the models whole on the software driver of GPUs: a line for each and numerics; takes half an hour, MODEL=plugins/NAME takes one
	@mkdir -p .tools; PIO_GPU_WHOLE=1 go test -count 1 -timeout 120m -v -run '^TestGPU$$' ./$(or $(MODEL),plugins/...) > .tools/gpu-sim.log 2>&1; status=$$?; \
	  sed -n 's/.*gpu-sim: //p' .tools/gpu-sim.log; grep -- '--- FAIL\|^FAIL' .tools/gpu-sim.log; exit $$status

roofline: ## what the kernels of published models move, and how long an H200 has to take: that table of docs/gpu.md
	.ci/roofline

gpu-check: ## one file that checks and times everything on a machine with a GPU, which needs no tools: bin/gpu-check.tar.xz; SOFTWARE=1 tries it here
	.ci/gpu-check bin/gpu-check.tar.xz $(if $(SOFTWARE),software)

lint: ## gofmt, go vet, staticcheck
	@test -z "$$(gofmt -l host sdk cuda plugins *.go | tee /dev/stderr)" || { echo "run gofmt on the files above"; exit 1; }
	go vet ./...
	go -C .ci/tools build -o ../../.tools/staticcheck honnef.co/go/tools/cmd/staticcheck
	.tools/staticcheck ./...

api: ## what of the sdk's Go API is broken since the last tag, or BASE=REVISION
	.ci/api $(BASE)

kernels: ## the committed PTX of GPU kernels whose sources have changed; needs clang-19
	go run ./cuda/kernels/compile

ptxas: ## NVIDIA's own assembler, from PyPI (or in TOOLS=folder), on that PTX for six GPUs: errors, spills, the table of docs/gpu.md
	go run ./cuda/kernels/assemble $(if $(TOOLS),-tools $(TOOLS))

generate: ## write the generated code of the contract and the kernels' list of ops again
	go generate ./sdk/proto/v1 ./cuda/cpu

bench: $(if $(MODEL)$(PEER),build) ## the figures of docs/bench.md, each beside its limit; PEER= and PEER_MODEL=: beside a llama-bench instead
ifneq ($(MODEL)$(PEER),)
	bin/piohost bench $(or $(MODEL),--dummy --plugin qwen3_0_6b host/e2e/testdata/qwen3-0.6b) $(if $(PEER),--peer "$(PEER)" --peer-model "$(PEER_MODEL)") $(BENCH)
else
	go test -run '^$$' -bench . -timeout 30m ./cuda ./cuda/cpu ./sdk/... ./host/internal/...
	go test -run '^$$' -bench . -benchtime 3x -timeout 30m ./plugins/... ./host/e2e
endif

hybrid: ## what models do on imagined machines as their GPU gives less and less, beside what plans say: the tables of docs/bench.md; CHECK=1 holds them to what they are
	CHECK=$(CHECK) .ci/hybrid

soak: build ## SOAK_KILLS (500) kills under load, for SOAK_TIME (15m) at most; no answer may differ or be lost
	PIO_BIN=$(CURDIR)/bin SOAK_KILLS=$(SOAK_KILLS) SOAK_TIME=$(SOAK_TIME) SOAK_SEED=$(SOAK_SEED) \
	  go test -count 1 -timeout 2h -v -run '^TestSoak$$' ./host/e2e

clients: build ## other people's clients against two tiny models (docs/clients.md); GUIDELLM=1 with that one, for which 6 GB are fetched
	PIO_GUIDELLM=$(GUIDELLM) python3 host/e2e/clients/run.py

agents: build ## other people's coding agents against a model whose answers are known (docs/clients.md)
	go build -trimpath -o bin/plugins/scripted ./sdk/examples/scripted
	bin/piohost plugin lock bin/plugins
	python3 host/e2e/clients/agents.py

page: build ## the page at / in a headless Chromium; SCREENSHOTS=folder keeps what was seen
	PIO_BIN=$(CURDIR)/bin PIO_PAGE_WHOLE=1 PIO_SCREENSHOTS=$(if $(SCREENSHOTS),$(abspath $(SCREENSHOTS))) go test -count 1 -timeout 15m -v -run '^TestPageInABrowser$$' ./host/e2e

hub: ## what is pulled against PyPI's huggingface_hub, on one cache
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && python3 -m venv $$dir && \
	  $$dir/bin/pip install -q --disable-pip-version-check -r host/internal/hub/testdata/requirements.txt && \
	  PIO_HUB_PYTHON=$$dir/bin/python go test -count 1 -v -run Library ./host/internal/hub

quantised: ## other people's quantised checkpoints of the tiny models, made with PYTHON in QUANTISED and run (cuda/golden/pipelines.py)
	$(PYTHON) cuda/golden/pipelines.py "$(abspath $(QUANTISED))"
	PIO_QUANTISED="$(abspath $(QUANTISED))" go test -count 1 -run Pipelines -v ./plugins/...

mutants: ## plant faults one at a time (those that match ONLY=pattern) and say which test catches each
	go run ./internal/mutants "$$ONLY"

# Go shrinks each input that reaches new code for up to a minute, in which it tries nothing else: of files that takes all the time there is.
fuzz: ## every fuzz target for FUZZTIME (10s) each
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r f; do \
	  for t in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$f); do \
	    echo "$$(dirname $$f) $$t"; go test -run '^$$' -fuzz "^$$t$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$(dirname $$f) || exit 1; done; done
