"""Generation parity: a tiny GPT-2 made by transformers, and what its generate() writes: greedily under penalties, bans and biases, and by beam search.

Writes generation/ (config.json, model.safetensors) and generation.json: cases { options (ours, camelCase), prompt, sequences, scores }.
"""
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from common import out_folder, write_json

V, T, EOS = 53, 48, 7


def make():
    torch.manual_seed(11)
    config = GPT2Config(vocab_size=V, n_positions=T, n_embd=24, n_layer=2, n_head=3, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=None, eos_token_id=None)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn_like(p) * 0.35 + (1.0 if "ln_" in name and name.endswith("weight") else 0.0))
        # Flatter than the rest would make it: beams must have something to choose from.
        model.transformer.ln_f.weight.mul_(0.45)
    return model


PROMPTS = [[3], [5, 1, 4], [50, 2, 2, 9, 30, 12, 8], list(range(10, 34))]


def run(model, prompt, ours, eos=None, **theirs):
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, eos_token_id=eos, do_sample=False, return_dict_in_generate=True,
                         output_scores=True, **theirs)
    sequences = []
    for row in out.sequences[:, len(prompt):].tolist():
        ends = [] if eos is None else [eos] if isinstance(eos, int) else eos
        stop = next((i + 1 for i, t in enumerate(row) if t in ends), len(row))
        sequences.append(row[:stop])
    scores = out.sequences_scores.tolist() if "sequences_scores" in out and out.sequences_scores is not None else None
    return {"prompt": prompt, "options": ours, "sequences": sequences, "scores": scores}


def main():
    torch.set_num_threads(1)
    model = make()
    folder = out_folder() / "generation"
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    cases = []
    n = 20
    for prompt in PROMPTS:
        greedy = lambda ours, eos=None, **theirs: cases.append(run(model, prompt, {"doSample": False, "maxNewTokens": n, **ours}, eos, max_new_tokens=n, **theirs))
        greedy({})
        greedy({"repetitionPenalty": 1.3}, repetition_penalty=1.3)
        greedy({"repetitionPenalty": 0.8}, repetition_penalty=0.8)
        plain = cases[-3]["sequences"][0]
        bad = [[plain[0]], [plain[1], plain[2]], [plain[4], plain[5], plain[6]]]
        greedy({"badWords": bad, "repetitionPenalty": 1.1}, repetition_penalty=1.1, bad_words_ids=bad)
        greedy({"logitBias": {"7": 2.5, "9": -3.0}, "repetitionPenalty": 1.2}, repetition_penalty=1.2, sequence_bias={(7,): 2.5, (9,): -3.0})
        greedy({"stopTokenIds": [EOS, plain[3]], "minNewTokens": 6, "repetitionPenalty": 1.2}, [EOS, plain[3]], repetition_penalty=1.2, min_new_tokens=6)

        def beams(ours, eos=None, **theirs):
            cases.append(run(model, prompt, {"maxNewTokens": n, **({} if eos is None else {"stopTokenIds": [eos] if isinstance(eos, int) else eos}), **ours}, eos,
                             max_new_tokens=n, **theirs))

        beams({"numBeams": 2}, num_beams=2)
        beams({"numBeams": 4, "numReturnSequences": 3}, num_beams=4, num_return_sequences=3)
        # An end that these beams do meet.
        end = cases[-1]["sequences"][1][5]
        for early, name in [(False, False), (True, True), ("never", "never")]:
            for length in [1.0, 0.0, 2.0, -0.5]:
                beams({"numBeams": 3, "numReturnSequences": 2, "lengthPenalty": length, "earlyStopping": name}, end, num_beams=3, num_return_sequences=2,
                      length_penalty=length, early_stopping=early)
        # (transformers passes over a bad word that is an end id; we do not.)
        bad = [[next(t for t in plain if t not in (end, 12))], [plain[2], plain[3]]]
        beams({"numBeams": 4, "numReturnSequences": 4, "repetitionPenalty": 1.4, "badWords": bad, "minNewTokens": 4}, [end, 12],
              num_beams=4, num_return_sequences=4, repetition_penalty=1.4, bad_words_ids=bad, min_new_tokens=4)
    ends = sum(len(s) < n for case in cases for s in case["sequences"])
    assert ends > 20, f"too few sequences end early: {ends}"
    import transformers

    write_json("generation.json", __file__, {"transformers": transformers.__version__, "cases": cases}, out_folder())
    print(len(cases), "cases,", ends, "sequences end early")


if __name__ == "__main__":
    main()
