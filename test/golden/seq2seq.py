"""Sequence-to-sequence parity: tiny encoder-decoders on torch.nn.Transformer with this library's tables and head, smoothed labels and padding; logits, loss and
every gradient in float64, ten training steps in float32, greedy and beam search over everything anew.

Writes seq2seq-<name>.safetensors / seq2seq.json: weights under the names of a folder of this library, a batch, logits, `grad.*` (float64 results stored as float32),
losses of ten steps of clip 1.0 + AdamW (lr 1e-3, betas 0.9/0.99, decay 0.1 on matrices only), and the targets that two searches write.
"""
import copy
import math

import torch
from safetensors.torch import save_file

from common import out_folder, write_json

B, S, T, V, W, C, H, F, F_IN = 3, 7, 6, 19, 23, 16, 2, 24, 5
EOS, PAD = 1, 0

CASES = {
    # Vaswani et al.: norms behind, sinusoidal positions, one table for source, target and head.
    "vaswani": dict(input_kind="tokens", input_dim=W, output_dim=W, n_encoder_layer=1, n_decoder_layer=2, norm_first=False, activation_function="relu", bias=True,
                    position_embedding="sinusoidal", share_embeddings=True, tie_word_embeddings=True, smoothing=0.1),
    # Norms in front, learned positions, two tables and a head of its own, no biases.
    "apart": dict(input_kind="tokens", input_dim=V, output_dim=W, n_encoder_layer=2, n_decoder_layer=1, norm_first=True, activation_function="gelu", bias=False,
                  position_embedding="learned", share_embeddings=False, tie_word_embeddings=False, smoothing=0.0),
    # A source of numbers.
    "features": dict(input_kind="features", input_dim=F_IN, output_dim=W, n_encoder_layer=1, n_decoder_layer=1, norm_first=True, activation_function="relu", bias=True,
                     position_embedding="sinusoidal", share_embeddings=False, tie_word_embeddings=True, smoothing=0.3),
}


class Seq2Seq(torch.nn.Module):
    """The module that a folder of this library describes: torch.nn.Transformer, tables, positions, head."""

    def __init__(self, c, max_source, max_target):
        super().__init__()
        self.c = c
        transformer = torch.nn.Transformer(C, H, c["n_encoder_layer"], c["n_decoder_layer"], F, 0.0, c["activation_function"], batch_first=True,
                                           norm_first=c["norm_first"], bias=c["bias"])
        self.encoder, self.decoder = transformer.encoder, transformer.decoder
        self.target_embedding = torch.nn.Embedding(c["output_dim"], C)
        if c["input_kind"] == "features":
            self.source_embedding = torch.nn.Linear(c["input_dim"], C)
        elif not c["share_embeddings"]:
            self.source_embedding = torch.nn.Embedding(c["input_dim"], C)
        self.target_positions = torch.nn.Embedding(max_target, C)
        self.source_positions = torch.nn.Embedding(max_source, C)
        if not c["tie_word_embeddings"]:
            self.generator = torch.nn.Linear(C, c["output_dim"], bias=False)

    def embed(self, table, positions, x):
        scale = math.sqrt(C) if self.c["position_embedding"] == "sinusoidal" else 1.0
        return table(x) * scale + positions.weight[: x.shape[1]]

    def encode(self, source, mask):
        table = self.target_embedding if self.c["share_embeddings"] else self.source_embedding
        return self.encoder(self.embed(table, self.source_positions, source), src_key_padding_mask=mask == 0)

    def decode(self, ids, memory, mask):
        causal = torch.triu(torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool), 1)
        x = self.decoder(self.embed(self.target_embedding, self.target_positions, ids), memory, tgt_mask=causal, memory_key_padding_mask=mask == 0)
        return x @ (self.target_embedding if self.c["tie_word_embeddings"] else self.generator).weight.T

    def forward(self, source, mask, ids):
        return self.decode(ids, self.encode(source, mask), mask)


def sinusoidal(rows):
    """Vaswani et al., 3.5, as float64."""
    table = torch.zeros(rows, C, dtype=torch.float64)
    for pos in range(rows):
        for i in range(C // 2):
            angle = pos / 10000 ** (2 * i / C)
            table[pos, 2 * i], table[pos, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return table


def trained(model):
    fixed = model.c["position_embedding"] == "sinusoidal"
    return {n: p for n, p in model.named_parameters() if not (fixed and "_positions" in n)}


def loss_of(model, batch):
    logits = model(batch["source"], batch["inputMask"], batch["decoderInputIds"].long())
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten().long(), ignore_index=-100, label_smoothing=model.c["smoothing"])
    return loss, logits


@torch.no_grad()
def greedy(model, source, limit):
    mask = torch.ones(1, source.shape[1])
    ids, scores = [EOS], []
    for _ in range(limit):
        logp = torch.log_softmax(model(source, mask, torch.tensor([ids]))[0, -1], -1)
        ids.append(int(logp.argmax()))
        scores.append(float(logp[ids[-1]]))
        if ids[-1] == EOS:
            break
    return ids[1:], scores


@torch.no_grad()
def beams(model, source, limit, width, penalty):
    """Beam search without a cache: as many texts as beams, the sum of log-probabilities divided by length ** penalty; ends when none can become better by its present length."""
    mask = torch.ones(1, source.shape[1])
    running, finished = [([], 0.0)], []
    for length in range(1, limit + 1):
        options = []
        for ids, score in running:
            logp = torch.log_softmax(model(source, mask, torch.tensor([[EOS] + ids]))[0, -1].double(), -1)
            options += [(ids + [v], score + float(logp[v])) for v in range(len(logp))]
        options = sorted(options, key=lambda o: -o[1])[: 2 * width]
        finished += [(ids, score / length**penalty) for ids, score in options[:width] if ids[-1] == EOS or length == limit]
        finished = sorted(finished, key=lambda o: -o[1])[:width]
        running = [o for o in options if o[0][-1] != EOS][:width]
        if len(finished) == width and running[0][1] / length**penalty <= finished[-1][1]:
            break
    return [{"ids": ids, "score": score} for ids, score in finished]


def one(name, c):
    torch.manual_seed(len(name))
    model = Seq2Seq(c, S + 1, T + 2)
    with torch.no_grad():
        for n, p in model.named_parameters():
            p.copy_(torch.randn_like(p) * 0.25 + (1.0 if "norm" in n and n.endswith("weight") else 0.0))
        if c["position_embedding"] == "sinusoidal":
            for table in (model.source_positions, model.target_positions):
                table.weight.copy_(sinusoidal(table.weight.shape[0]))
    source = torch.randn(B, S, c["input_dim"]) if c["input_kind"] == "features" else torch.randint(2, c["input_dim"], (B, S))
    mask, labels = torch.ones(B, S), torch.randint(2, c["output_dim"], (B, T))
    mask[1, 4:] = 0
    mask[2, 6:] = 0
    labels[0, 4], labels[1, 2], labels[2, 5] = EOS, EOS, EOS
    labels[0, 5:] = labels[1, 3:] = -100
    ids = torch.cat([torch.full((B, 1), EOS), labels[:, :-1]], 1)
    ids[ids == -100] = PAD
    batch = {"source": source, "inputMask": mask, "decoderInputIds": ids, "labels": labels}
    # clone: a file of tensors has no shared storage
    tensors = {n: p.detach().clone() for n, p in model.named_parameters()}
    double = copy.deepcopy(model).double()
    loss, logits = loss_of(double, {**batch, "source": source.double() if source.is_floating_point() else source})
    loss.backward()
    for n, p in trained(double).items():
        tensors["grad." + n] = p.grad.float()
    tensors |= {"source": source.int() if not source.is_floating_point() else source, "inputMask": mask.int(), "decoderInputIds": ids.int(), "labels": labels.int(),
                "logits": logits.detach().float()}
    model.eval()
    first = [source[b : b + 1, : int(mask[b].sum())] for b in range(B)]
    found = {"greedy": [dict(zip(("ids", "logProbs"), greedy(model, x, T + 1))) for x in first], "beams": [beams(model, x, T + 1, 3, 0.8) for x in first]}
    model.train()
    kept = trained(model)
    for n, p in model.named_parameters():
        p.requires_grad_(n in kept)
    groups = [{"params": [p for p in kept.values() if p.dim() > 1], "weight_decay": 0.1}, {"params": [p for p in kept.values() if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), eps=1e-8)
    losses = []
    for _ in range(10):
        step_loss, _ = loss_of(model, batch)
        step_loss.backward()
        torch.nn.utils.clip_grad_norm_(list(kept.values()), 1.0)
        optimizer.step()
        model.zero_grad(set_to_none=True)
        losses.append(step_loss.item())
    save_file({n: t.contiguous() for n, t in tensors.items()}, out_folder() / f"seq2seq-{name}.safetensors")
    config = {**{k: v for k, v in c.items() if k != "smoothing"}, "d_model": C, "n_head": H, "dim_feedforward": F, "max_source_length": S + 1, "max_target_length": T + 2,
              "bos_id": EOS, "eos_id": EOS, "pad_id": PAD}
    return {"config": config, "labelSmoothing": c["smoothing"], "loss": loss.item(), "losses": losses, **found}


if __name__ == "__main__":
    torch.set_num_threads(1)
    cases = {name: one(name, c) for name, c in CASES.items()}
    write_json("seq2seq.json", __file__, {"torch": torch.__version__, "lengthPenalty": 0.8, "cases": cases}, out_folder())
