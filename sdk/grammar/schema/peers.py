#!/usr/bin/env python3
"""What a mask costs with llguidance and xgrammar, over the same tokens and schemas as BenchmarkMaskOfAnswers.

    pip install llguidance xgrammar transformers
    python3 peers.py FOLDER_WITH_TOKENIZER_JSON

One thread. Each answer begins with a new matcher, as in the benchmark; times are in microseconds.
"""
import json, os, sys, time

os.environ["OMP_NUM_THREADS"] = "1"
import llguidance
import numpy as np
import xgrammar
from transformers import PreTrainedTokenizerFast

ROWS = 151936
folder = sys.argv[1]
agent = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "testdata", "agent.json")))
tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"), eos_token="<|im_end|>")


def report(name, compiled, times):
    times.sort()
    at = lambda share: times[int(share * (len(times) - 1))] / 1e3
    print(f"{name:10} mask p50 {at(0.5):8.1f}  p99 {at(0.99):8.1f}  max {at(1):8.1f}   25 tools {compiled / 1e6:6.1f} ms")


def with_llguidance():
    tok = llguidance.LLTokenizer(open(os.path.join(folder, "tokenizer.json")).read(), n_vocab=ROWS, slices=llguidance.LLTokenizer.json_slices())
    grammar = lambda schema: llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
    began = time.perf_counter_ns()
    for i in range(25):
        llguidance.LLMatcher(tok, grammar({"title": f"tool{i}", **agent["tools"][i % len(agent["tools"])]}))
    compiled = time.perf_counter_ns() - began
    times, mask = [], np.zeros((1, (ROWS + 31) // 32), dtype=np.int32)
    for _ in range(10):
        for a in agent["answers"]:
            m = llguidance.LLMatcher(tok, grammar(agent["tools"][a["tool"]]))
            for id in tokenizer.encode(a["text"], add_special_tokens=False):
                began = time.perf_counter_ns()
                m.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
                times.append(time.perf_counter_ns() - began)
                assert m.consume_token(id), m.get_error()
    report("llguidance", compiled, times)


def with_xgrammar():
    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=ROWS)
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
    began = time.perf_counter_ns()
    for i in range(25):
        compiler.compile_json_schema(json.dumps({"title": f"tool{i}", **agent["tools"][i % len(agent["tools"])]}), strict_mode=False)
    compiled = time.perf_counter_ns() - began
    times, mask = [], xgrammar.allocate_token_bitmask(1, ROWS)
    grammars = [compiler.compile_json_schema(json.dumps(agent["tools"][a["tool"]]), strict_mode=False) for a in agent["answers"]]
    for _ in range(10):
        for a, g in zip(agent["answers"], grammars):
            m = xgrammar.GrammarMatcher(g)
            for id in tokenizer.encode(a["text"], add_special_tokens=False):
                began = time.perf_counter_ns()
                m.fill_next_token_bitmask(mask)
                times.append(time.perf_counter_ns() - began)
                assert m.accept_token(id)
    report("xgrammar", compiled, times)


with_llguidance()
with_xgrammar()
