// This folder is in the repository and not in the zip that the go command downloads: a module of its own stays out of it.
module github.com/inference-pio/inference-pio/sdk/tokenizer/testdata

go 1.26.0
