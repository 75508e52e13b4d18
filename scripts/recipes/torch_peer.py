"""PyTorch's side of a recipe: a model of the same size, trained on the same rows in the same batches with the same learning rates, and what it predicts.

  torch_peer.py DUMP [--threads 2]

DUMP is the folder that `node examples/recipes/NAME.mjs ... --dump DUMP` writes:
  spec.json        task ('lm' | 'sft' | 'classify' | 'seq2seq'), model (sizes), optimizer (beta1 beta2 epsilon weightDecay maxGradNorm), labelSmoothing, seed, ids {bos, eos, pad},
                   pooling, rates [learning rate of each update], batches [row numbers of each update], maxNewTokens, choices [tokens that a target may begin with, where these are scored]
  train.jsonl      one row a line: {inputIds, labels} (lm, sft: labels already shifted; packed rows also {starts, positions}: place t sees starts[t] to t), {inputIds, label} (classify), {inputIds | inputFeatures, decoderInputIds, labels} (seq2seq); nothing padded
  test.jsonl       the same; of sft rows also `prompt`, the ids that an answer is written for
It writes DUMP/torch.json: {loss: [of each update], evalLoss, predictions: [label or ids of each test row], choices: [of each test row the log-probabilities of the spec's, in place of predictions], seconds}. The score is computed from that by the recipe, with the same code as ours.
Dropout, initialisation and the rest are PyTorch's and transformers' own. Not a benchmark: the seconds are those of padded batches without any tuning.
"""
import argparse, json, math, os, time
import torch
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2Model


def padded(rows, value):
    width = max(map(len, rows))
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])


class Causal(nn.Module):
    """GPT-2 with a tied head (lm, sft), or with a classifier on the last token or the mean of all."""

    def __init__(self, spec):
        super().__init__()
        m, p = spec["model"], spec["model"].get("dropout", 0.0)
        self.trunk = GPT2Model(GPT2Config(
            n_layer=m["nLayer"], n_head=m["nHead"], n_embd=m["nEmbd"], n_positions=m["blockSize"], vocab_size=m["vocabSize"],
            resid_pdrop=p, embd_pdrop=p, attn_pdrop=p, bos_token_id=None, eos_token_id=None))
        self.pooling = spec.get("pooling", "last")
        self.score = nn.Linear(m["nEmbd"], spec["numLabels"], bias=False) if spec["task"] == "classify" else None
        if self.score is not None:
            nn.init.normal_(self.score.weight, 0, 0.02)

    def logits(self, rows, **packed):
        ids = padded(rows, 0)
        x = self.trunk(ids, **packed).last_hidden_state  # causal, so padding behind a row changes nothing before it
        if self.score is None:
            return x @ self.trunk.wte.weight.T
        lengths = torch.tensor([len(row) for row in rows])
        if self.pooling == "last":
            return self.score(x[torch.arange(len(rows)), lengths - 1])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None])[..., None]
        return self.score((x * mask).sum(1) / lengths[:, None])

    def loss(self, rows, spec):
        logits = self.logits([row["inputIds"] for row in rows], **self.documents(rows))
        if self.score is not None:
            return F.cross_entropy(logits, torch.tensor([row["label"] for row in rows]))
        return F.cross_entropy(logits.flatten(0, 1), padded([row["labels"] for row in rows], -100).flatten())

    def documents(self, rows):
        """Of packed rows: positions within the documents, and a mask that keeps these apart."""
        if "starts" not in rows[0]:
            return {}
        starts = padded([row["starts"] for row in rows], 0)
        place = torch.arange(starts.shape[1])
        seen = (place[None, None, :] >= starts[:, :, None]) & (place[None, None, :] <= place[None, :, None])
        mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
        return {"position_ids": padded([row["positions"] for row in rows], 0), "attention_mask": mask[:, None]}

    def predict(self, row, spec):
        if self.score is not None:
            return int(self.logits([row["inputIds"]]).argmax())
        ids, new = list(row["prompt"]), []
        while len(new) < spec["maxNewTokens"] and len(ids) < spec["model"]["blockSize"]:
            token = int(self.logits([ids])[0, -1].argmax())
            if token == spec["ids"]["eos"]:
                break
            ids.append(token)
            new.append(token)
        return new


class Seq2seq(nn.Module):
    """torch.nn.Transformer between token tables (or a linear layer for features), with sinusoidal positions (Vaswani et al. 2017) or learned ones; the head is
    the target table or weights of its own."""

    def __init__(self, spec):
        super().__init__()
        m = spec["model"]
        C = m["dModel"]
        self.features = m["inputKind"] == "features"
        sinusoidal = m["positionEmbedding"] == "sinusoidal"
        self.target = nn.Embedding(m["outputDim"], C)
        shared = m["shareEmbeddings"] and not self.features
        self.source = nn.Linear(m["inputDim"], C) if self.features else self.target if shared else nn.Embedding(m["inputDim"], C)
        self.body = nn.Transformer(C, m["nHead"], m["nEncoderLayer"], m["nDecoderLayer"], m["dimFeedforward"], m.get("dropout", 0.0),
                                   activation=m["activationFunction"], norm_first=m["normFirst"], batch_first=True)
        self.head = None if m["tieWordEmbeddings"] else nn.Linear(C, m["outputDim"], bias=False)
        for table in dict.fromkeys([self.source, self.target]):
            if isinstance(table, nn.Embedding):
                nn.init.normal_(table.weight, 0, C**-0.5 if sinusoidal else 0.02)
        self.drop = nn.Dropout(m.get("dropout", 0.0))
        self.scale = math.sqrt(C) if sinusoidal else 1.0
        lengths = [m["maxSourceLength"], m["maxTargetLength"]]
        if sinusoidal:
            angle = torch.arange(max(lengths))[:, None] / 10000 ** (torch.arange(0, C, 2) / C)
            self.places = [torch.stack([angle.sin(), angle.cos()], -1).flatten(1)] * 2
        else:
            self.places = nn.ParameterList([nn.Parameter(torch.randn(length, C) * 0.02) for length in lengths])

    def embed(self, table, x, places):
        return self.drop(table(x) * self.scale + places[: x.shape[1]])

    def encode(self, rows):
        given = [row["inputFeatures" if self.features else "inputIds"] for row in rows]
        x = nn.utils.rnn.pad_sequence([torch.tensor(row, dtype=torch.float32) for row in given], batch_first=True) if self.features else padded(given, 0)
        away = torch.arange(x.shape[1]) >= torch.tensor([len(row) for row in given])[:, None]
        return self.body.encoder(self.embed(self.source, x, self.places[0]), src_key_padding_mask=away), away

    def decode(self, ids, memory, away):
        causal = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        x = self.body.decoder(self.embed(self.target, ids, self.places[1]), memory, tgt_mask=causal, memory_key_padding_mask=away, tgt_is_causal=True)
        return self.head(x) if self.head is not None else x @ self.target.weight.T

    def loss(self, rows, spec):
        memory, away = self.encode(rows)
        logits = self.decode(padded([row["decoderInputIds"] for row in rows], 0), memory, away)
        smoothing = spec.get("labelSmoothing", 0.0) if self.training else 0.0
        return F.cross_entropy(logits.flatten(0, 1), padded([row["labels"] for row in rows], -100).flatten(), label_smoothing=smoothing)

    def choose(self, row, spec):
        memory, away = self.encode([row])
        logits = self.decode(torch.tensor([row["decoderInputIds"][:1]]), memory, away)[0, 0]
        return logits.log_softmax(-1)[spec["choices"]].tolist()

    def predict(self, row, spec):
        memory, away = self.encode([row])
        ids = [row["decoderInputIds"][0]]
        while len(ids) <= spec["maxNewTokens"]:
            token = int(self.decode(torch.tensor([ids]), memory, away)[0, -1].argmax())
            if token == spec["ids"]["eos"]:
                break
            ids.append(token)
        return ids[1:]


def train(model, rows, spec):
    o = spec["optimizer"]
    groups = [{"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": o["weightDecay"]},
              {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(o["beta1"], o["beta2"]), eps=o["epsilon"], fused=True)
    losses = []
    model.train()
    for update, (rate, numbers) in enumerate(zip(spec["rates"], spec["batches"]), 1):
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = model.loss([rows[n] for n in numbers], spec)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), o["maxGradNorm"])
        optimizer.step()
        losses.append(loss.item())
        if update % 100 == 0:
            print(f"torch: update {update} of {len(spec['batches'])}, loss {sum(losses[-100:]) / 100:.4f}", flush=True)
    return losses


def counted(row, task):
    return 1 if task == "classify" else sum(label != -100 for label in row["labels"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dump")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    read = lambda name: [json.loads(line) for line in open(os.path.join(args.dump, name), encoding="utf-8")]
    spec = json.load(open(os.path.join(args.dump, "spec.json"), encoding="utf-8"))
    rows, tests = read("train.jsonl"), read("test.jsonl")
    torch.manual_seed(spec["seed"])
    model = (Seq2seq if spec["task"] == "seq2seq" else Causal)(spec)
    started = time.perf_counter()
    losses = train(model, rows, spec)
    seconds = time.perf_counter() - started
    model.eval()
    with torch.inference_mode():
        total = count = 0
        for at in range(0, len(tests), 32):
            part = tests[at : at + 32]
            n = sum(counted(row, spec["task"]) for row in part)
            total, count = total + float(model.loss(part, spec)) * n, count + n
        choices = [model.choose(row, spec) for row in tests] if "choices" in spec else []
        predictions = [] if spec["task"] == "lm" or choices else [model.predict(row, spec) for row in tests]
    result = {"loss": losses, "evalLoss": total / count, "predictions": predictions, "choices": choices, "seconds": seconds, "parameters": sum(p.numel() for p in model.parameters())}
    with open(os.path.join(args.dump, "torch.json"), "w", encoding="utf-8") as file:
        json.dump(result, file)
    print(f"torch: {result['parameters']} parameters, {seconds:.0f} s, evaluation loss {result['evalLoss']:.4f}")


main()
