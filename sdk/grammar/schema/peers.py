#!/usr/bin/env python3
"""llguidance and xgrammar over the schemas of this folder's tests: what a mask costs, and where they leave the specification.

    pip install llguidance xgrammar transformers
    python3 peers.py FOLDER_WITH_TOKENIZER_JSON    # times, over the same tokens and schemas as BenchmarkMaskOfAnswers
    python3 peers.py                               # what each does with the cases of TestWhereEnginesDiffer

One thread. Each answer begins with a new matcher, as in the benchmark; times are in microseconds.
"""
import json, os, sys, time

os.environ["OMP_NUM_THREADS"] = "1"
from importlib.metadata import version

import llguidance
import numpy as np
import xgrammar
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

ROWS = 151936
END = "<|im_end|>"
here = os.path.dirname(os.path.abspath(__file__))
folder = sys.argv[1] if len(sys.argv) > 1 else ""
if folder:
    agent = json.load(open(os.path.join(here, "testdata", "agent.json")))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"), eos_token=END)


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


def bytes_only():
    """A tokenizer whose tokens are bytes, and the end."""
    letter = {b: chr(b) for b in [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]}
    for b in range(256):
        letter.setdefault(b, chr(0x100 + len(letter) - 188))
    t = Tokenizer(models.BPE(vocab={letter[b]: b for b in range(256)}, merges=[]))
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), decoders.ByteLevel()
    t.add_special_tokens([END])
    return t


def differ():
    text = bytes_only().to_str()
    tok = llguidance.LLTokenizer(text, n_vocab=257, eos_token=256)
    info = xgrammar.TokenizerInfo([bytes([b]) for b in range(256)] + [END], xgrammar.VocabType.RAW, vocab_size=257, stop_token_ids=[256])
    compiler = xgrammar.GrammarCompiler(info, max_threads=1)

    def guided(schema):
        grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
        if why := llguidance.LLMatcher.validate_grammar(grammar, tok):
            raise ValueError(why)

        def writes(ids):
            m = llguidance.LLMatcher(tok, grammar)
            return m.try_consume_tokens(ids) == len(ids) and m.is_accepting()

        return writes

    def compiled(schema):
        grammar = compiler.compile_json_schema(json.dumps(schema), strict_mode=False)

        def writes(ids):
            m = xgrammar.GrammarMatcher(grammar)
            return all(m.accept_token(id) for id in [*ids, 256])

        return writes

    for name, compile in [("llguidance " + version("llguidance"), guided), ("xgrammar " + version("xgrammar"), compiled)]:
        print(name)
        alike = 0
        for case in json.load(open(os.path.join(here, "testdata", "peers.json"))):
            try:
                writes = compile(case["schema"])
            except Exception as err:
                print(f"  {case['name']}: refused: {str(err).strip().splitlines()[-1][:120]}")
                continue
            wrong = [(text, valid) for text, valid in case["texts"] if writes(list(text.encode())) != valid]
            alike += not wrong
            for text, valid in wrong:
                print(f"  {case['name']}: {'not written although valid' if valid else 'written although not valid'}: {text[:60]!r}")
        print(f"  as specified: {alike}")


if folder:
    with_llguidance()
    with_xgrammar()
else:
    differ()
