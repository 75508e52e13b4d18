"""A sequence-to-sequence model that was trained and saved here, loaded into torch.nn.Transformer: the snippet of the documentation, strict about every key, and the same
logits."""

import json
import pathlib
import tempfile
import unittest
import warnings

import torch
from safetensors.torch import load_file
from test_transformers import TOLERANCE, ours

warnings.filterwarnings("ignore", message="enable_nested_tensor")


def load(folder):
    """torch.nn.Transformer from a folder of this library, and a function (source ids, target ids) → logits."""
    folder = pathlib.Path(folder)
    c = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    model = torch.nn.Transformer(
        c["d_model"], c["n_head"], c["n_encoder_layer"], c["n_decoder_layer"], c["dim_feedforward"], c["dropout"], c["activation_function"],
        layer_norm_eps=c["layer_norm_epsilon"], batch_first=True, norm_first=c["norm_first"], bias=c["bias"],
    ).eval()
    model.load_state_dict({k: v.float() for k, v in tensors.items() if k.startswith(("encoder.", "decoder."))})
    target = tensors["target_embedding.weight"].float()
    source = target if c["share_embeddings"] else tensors["source_embedding.weight"].float()
    head = target if c["tie_word_embeddings"] else tensors["generator.weight"].float()
    scale = c["d_model"] ** 0.5 if c["position_embedding"] == "sinusoidal" else 1.0

    def logits(src, tgt):
        x = source[src] * scale + tensors["source_positions.weight"].float()[: src.shape[1]]
        y = target[tgt] * scale + tensors["target_positions.weight"].float()[: tgt.shape[1]]
        causal = torch.nn.Transformer.generate_square_subsequent_mask(tgt.shape[1])
        return model(x, y, tgt_mask=causal, tgt_is_causal=True) @ head.T

    return c, tensors, logits


class OursInTorch(unittest.TestCase):
    def check(self, options, save=None):
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch) / "model"
            made = ours("seq2seq", folder, {"options": options, "save": save or {}})
            config, tensors, logits = load(folder)
            used = {k for k in tensors if k.startswith(("encoder.", "decoder."))}
            tables = {"target_embedding.weight", "target_positions.weight", "source_positions.weight"}
            tables |= set() if config["share_embeddings"] else {"source_embedding.weight"}
            tables |= set() if config["tie_word_embeddings"] else {"generator.weight"}
            self.assertEqual(set(tensors) - used, tables)
            with torch.no_grad():
                theirs = logits(torch.tensor([made["source"]]), torch.tensor([made["target"]]))
            self.assertLessEqual((torch.tensor(made["logits"]).view_as(theirs) - theirs).abs().max().item(), TOLERANCE)
            self.assertGreater(theirs.std().item(), 0.1)
            with torch.no_grad():
                written = [config["bos_token_id"]]
                for _ in made["greedy"]:
                    written.append(int(logits(torch.tensor([made["source"]]), torch.tensor([written]))[0, -1].argmax()))
            self.assertEqual(written[1:], made["greedy"])

    def test_defaults(self):
        self.check({})

    def test_as_vaswani(self):
        self.check({"normFirst": False, "nDecoderLayer": 3})

    def test_two_tables_learned_positions_no_biases(self):
        self.check({"shareEmbeddings": False, "tieWordEmbeddings": False, "positionEmbedding": "learned", "bias": False, "activationFunction": "gelu"})

    def test_bfloat16(self):
        self.check({}, {"dtype": "bfloat16"})


if __name__ == "__main__":
    unittest.main()
