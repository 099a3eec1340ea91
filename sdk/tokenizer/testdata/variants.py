"""Writes variants.json: changed copies of a tiny tokenizer.json, and what the reference makes of texts with each.

    python variants.py          # needs tokenizers (0.23.3 wrote the file that is here)

A variant is the keys to replace at the top of qwen3_0_6b.json and inside its model. Its rows are [text, ids, decoded, decoded without special tokens].
"""

import json
import pathlib
import random

from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent
BASE = json.loads((HERE / "qwen3_0_6b.json").read_text())
SIZE = len(BASE["model"]["vocab"])

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
MARKS = r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DIGITS, HAN = r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"


def byte_level(**kw):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False, **kw}


def split(pattern, kind="Regex", behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def steps(*steps):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [*steps, byte_level()]}}


def added(*tokens):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return [{"id": SIZE + i, **flags, **t} for i, t in enumerate(tokens)]


GENERAL = ["", " ", "Hello, world! It's 12345 o'clock, isn't it?  'TIS  \n\n \t x", "naïve  CAFÉ cafe\u0301 ǅ ʰa \u0301\u0302", "def f(x):\n    return x**2 // 10\r\n\r\n", "1234567 ١٢٣٤ ²³ Ⅷ½ 12,345.67",
           "你好，世界！123カタカナとひらがな", "😀👨‍👩‍👧 🇫🇷", "'ſ 'S don'T WE'LL we'Ve", "http://a.b/c//\n/d", "   leading", "trailing   ", "\u2028\u0085\u3000x", "camelCaseWords HTTPServer XMLHttp", "a" * 90, " " * 70 + "x", "\x00\x1f\x7f\xad"]
# Marks newer than the reference's Unicode, long runs of marks, singletons, Hangul, exclusions.
FORMS = ["a\u0315\u0323\u0301", "e" + "\u0301\u0323" * 40, "e" + "\u0323" * 31 + "\u0301", "e" + "\u0301" * 30, "\u0301" * 35 + "a", "\u1112\u1161\u11ab\u11a8", "\u0344\u0958\u2126\u212b\uf900\U0002f800", "\u0f71\u0f72\u0f74\u0f73",
         "a\u0315\u08cb", "a\u1ac4\u0323", "a\u1ac1\u0315\u1ac1\u0301", "\U00011935\U00011930", "e\u0301\u1df8\u0323\u0301", "a\u034f\u0315\u0323", "a" + "\u034f" * 3 + "\u0301" * 33 + "\u0323", "\u1100" + "\u0301" * 40 + "\u1161", "ᄀ" * 40,
         "\u1e0b\u0323" + "\u0315" * 32 + "\u0300", "\u0b47\u0b56\u0b3e", "q\u0307\u0323", "가\u11a7\u11a8"]
LATE = ["x\ua7cby \u1c89z \U0001e5d0\U0001e5f1 \U0002ebf0中 \U00010d401 \U0001ccf0\U0001ccf9\U0001ccf11"]
ADDED = ["x<l>y", "a  <l>  b", "a  <r>  b", "a <r>  <l> b", "<r>  ~x", "x<s>", "<s>", "<s>y", "a\u0301<s>", "a-<s>-", "\u24b6<s>", "\u200d<s>", "_<s>", "<s><s>", "<r> \u0085\u2028 <l>", "\u200b<l>", "\n\t<l><l>  <r><r>\n",
         "abcd", "xabcde", "xabcd abcde", "abcdef", "ab abc", "<\u00e9>", "<e\u0301>", "\u212b \u00c5 A\u030a", "é e\u0301", "Ġ a b", "<sp><sp>x<sp>", "Hello", "Hello the The", "<|im_end|>", "q w q", "<n>  <N>", "\U0001f600x"]
TOKENS = added({"content": "<l>", "lstrip": True}, {"content": "<r>", "rstrip": True}, {"content": "<s>", "single_word": True}, {"content": " ~"}, {"content": "abc"}, {"content": "bcd", "single_word": True}, {"content": "ab"},
               {"content": "abcde", "single_word": True}, {"content": "<é>", "normalized": True}, {"content": "\u212b", "normalized": False}, {"content": "é", "normalized": False}, {"content": "a b"}, {"content": "Ġ"}, {"content": "<sp>", "special": True},
               {"content": "the", "special": True}, {"content": "The", "normalized": True}, {"content": ""}, {"content": " w ", "lstrip": True, "rstrip": True}, {"content": "<n>", "rstrip": True, "normalized": True}, {"content": "<N>", "lstrip": True}, {"content": "\U0001f600"})

VARIANTS = {
    "llama3": ({**steps(split(LLAMA3)), "normalizer": None}, {"ignore_merges": True}, GENERAL + FORMS),
    "marks": (steps(split(MARKS)), {}, GENERAL + FORMS + LATE),
    "cased": (steps(split(CASED)), {}, GENERAL + LATE),
    "deepseek": ({**steps(split(DIGITS), split(HAN), split(LLAMA3)), "normalizer": {"type": "Sequence", "normalizers": []}}, {}, GENERAL),
    "gpt2": ({"pre_tokenizer": byte_level(use_regex=True), "normalizer": None}, {}, GENERAL),
    "prefix": ({"pre_tokenizer": byte_level(use_regex=True, add_prefix_space=True), "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}}, {}, GENERAL + ["<|im_end|>a<|im_end|> a"]),
    "starcoder": ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level(use_regex=True)]}}, {}, GENERAL),
    "digit_runs": (steps({"type": "Digits", "individual_digits": False}), {}, GENERAL),
    "removed": (steps(split(r"\s+", behavior="Removed")), {}, GENERAL),
    "inverted": (steps(split(r"[\p{L}\p{N}]+|\s+", behavior="Removed", invert=True)), {}, GENERAL),
    "literal": (steps(split("o", kind="String")), {}, GENERAL),
    "literal_removed": (steps(split(" ", kind="String", behavior="Removed")), {}, GENERAL),
    "string_merges": ({}, {"merges": ["#version: 0.2"] + [" ".join(m) for m in BASE["model"]["merges"]]}, GENERAL),
    "added": ({"added_tokens": TOKENS}, {}, ADDED + GENERAL + FORMS),
    "added_plain": ({"added_tokens": TOKENS, "normalizer": None}, {}, ADDED),
    "nfc": ({}, {}, FORMS + LATE),
}


def fuzzy(seed, n, pool):
    r = random.Random(seed)
    return ["".join(r.choice(pool) for _ in range(r.randint(1, 24))) for _ in range(n)]


def main():
    out = {}
    for i, (name, (top, model, texts)) in enumerate(VARIANTS.items()):
        config = {**BASE, **top, "model": {**BASE["model"], **model}}
        tok = Tokenizer.from_str(json.dumps(config))
        pool = sorted({c for t in texts for c in t}) + ["<l>", "<r>", "<s>", " ~", "<n>", "<N>"] if name.startswith("added") else sorted({c for t in texts for c in t})
        rows = []
        for t in texts + fuzzy(i, 60, pool):
            ids = tok.encode(t, add_special_tokens=False).ids
            rows.append([t, ids, tok.decode(ids, skip_special_tokens=False), tok.decode(ids, skip_special_tokens=True)])
        if name == "string_merges":  # the file itself spells them as pairs; the test joins them
            model = {}
        out[name] = {"top": top, "model": model, "rows": rows}
    (HERE / "variants.json").write_text(json.dumps(out, ensure_ascii=False, indent=0, separators=(",", ":")) + "\n")


main()
