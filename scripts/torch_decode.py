"""transformers' side of `node scripts/bench-decode.mjs --torch PYTHON`: generating token by token with GPT-2's shape, random weights, f32, batch 1.

GPT2LMHeadModel as users load it for a CPU, with its KV cache: `generate` greedily, and a bare loop of forward calls (no generation code around them).
Speaks lines of JSON: prints {"ready": ...} after loading and a warm-up, then for each number N read from standard input writes N tokens both ways and
prints {"generate_ms": ..., "loop_ms": ...}, milliseconds for each token. The end of the input ends it.

    echo 16 | python scripts/torch_decode.py --threads 2
"""

import argparse
import json
import platform
import sys
import time

import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel


def say(message):
    print(json.dumps(message), flush=True)


def timed(work, tokens):
    started = time.perf_counter()
    work(tokens)
    return (time.perf_counter() - started) * 1000 / tokens


def main():
    parser = argparse.ArgumentParser(description="Times transformers' decoding of GPT-2's shape.")
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    model = GPT2LMHeadModel(GPT2Config()).eval()
    prompt = torch.tensor([[1]])

    def generate(tokens):
        model.generate(prompt, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, use_cache=True, pad_token_id=0)

    def loop(tokens):
        ids, cache = prompt, None
        for _ in range(tokens):
            output = model(ids, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            ids = output.logits[:, -1:].argmax(-1)

    with torch.inference_mode():
        for work in (generate, loop):
            work(3)
        versions = {"torch": torch.__version__, "transformers": transformers.__version__, "python": platform.python_version()}
        say({"ready": {**versions, "threads": torch.get_num_threads()}})
        for line in sys.stdin:
            tokens = int(line)
            say({"generate_ms": timed(generate, tokens), "loop_ms": timed(loop, tokens)})


if __name__ == "__main__":
    main()
