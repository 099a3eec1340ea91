"""The checks of what measures models: lm_eval asks through Completions, with the prompt's own logprobs, and through Chat Completions, guidellm through the
latter, and says how fast the answers come. check.py registers and runs them."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from __main__ import ANSWER, QUESTION, URL, check, same

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
TINY = str(pathlib.Path(__file__).resolve().parents[4] / "plugins/qwen3_0_6b/testdata/tiny")


def scores(model, path, args, task):
    """What lm_eval says of one task of two questions."""
    import lm_eval
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "test.jsonl")
        rows = [{"question": QUESTION, "answer": ANSWER, "wrong": "The capital of Japan is Paris."}] * 2
        file.write_text("".join(json.dumps(r) + "\n" for r in rows))
        task = {"task": "capitals", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(file)}, "cache_dir": folder}, "test_split": "test", **task}
        got = lm_eval.simple_evaluate(model, {"model": "tiny", "base_url": URL + path, "num_concurrent": 2, "max_retries": 1, **args}, [task],
                                      apply_chat_template="chat" in model, verbosity="ERROR")
    return got["results"]["capitals"], [s["resps"] for s in got["samples"]["capitals"]]


@check("lm_eval", "lm_eval")
def choice_by_likelihood():
    """The ids of prompt and choice are sent, and come back with their logprobs. lm_eval takes a line's end off a prompt."""
    got, likely = scores("local-completions", "/completions", {"tokenizer": TINY, "tokenizer_backend": "huggingface"}, {
        "output_type": "multiple_choice", "doc_to_text": "<|im_start|>user\n{{question}}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>",
        "doc_to_choice": "{{[answer, wrong]}}", "doc_to_target": 0, "target_delimiter": "\n\n",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]})
    same(got["acc,none"], 1.0)
    for right, wrong in likely:
        assert right[0][1] and not wrong[0][1] and -0.1 < right[0][0] < 0 and wrong[0][0] < -1, likely


@check("lm_eval", "lm_eval")
def perplexity_of_a_text():
    got, _ = scores("local-completions", "/completions", {"tokenizer": TINY, "tokenizer_backend": "huggingface"}, {
        "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "word_perplexity", "aggregation": "weighted_perplexity", "higher_is_better": False}]})
    assert 1 < got["word_perplexity,none"] < 1e6, got


@check("lm_eval", "lm_eval")
def chat_until():
    got, said = scores("local-chat-completions", "/chat/completions", {}, {
        "output_type": "generate_until", "doc_to_text": "{{question}}", "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 200, "temperature": 0, "chat_template_kwargs": {"enable_thinking": False}},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]})
    same((got["exact_match,none"], said), (1.0, [[[ANSWER]]] * 2))


@check("guidellm", "guidellm")
def four_streams():
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder, "report.json")
        subprocess.run([pathlib.Path(sys.executable).parent / "guidellm", "run", "--backend", f"kind=openai_http,target={URL.removesuffix('/v1')},model=tiny",
                        "--profile", "kind=concurrent,streams=4", "--constraint", "kind=max_requests,count=40", "--tokenizer", f"kind=huggingface_auto,model={TINY}",
                        "--data", "kind=synthetic_text,prompt_tokens=64,output_tokens=32", "--output", f"kind=json,path={report}", "--disable-console"], check=True)
        [benchmark] = json.loads(report.read_text())["benchmarks"]
    requests = benchmark["requests"]
    same((len(requests["successful"]), requests["errored"]), (40, []))
    same({r["output_metrics"]["total_tokens"] for r in requests["successful"]}, {32})
    assert all(r["time_to_first_token_ms"] > 0 for r in requests["successful"])
