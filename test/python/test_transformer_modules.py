"""torch.nn.Transformer both ways: its state dict goes into a TransformerModule and comes out bit for bit, fresh weights of a TransformerModule are taken by
load_state_dict without a missing or unexpected key, and both compute the same. Also: initial values have torch's ranges."""

import json
import math
import os
import pathlib
import subprocess
import tempfile
import unittest

import torch
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
NODE = os.environ.get("FERRO_NODE", "node")
TOLERANCE = 2e-5  # outputs are norms' results, of the order of 1


def ours(folder):
    done = subprocess.run([NODE, str(HERE / "transformer.mjs"), str(folder)], capture_output=True, text=True, encoding="utf-8", timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"transformer.mjs ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


class Modules(unittest.TestCase):
    def check(self, words, options):
        torch.manual_seed(9)
        model = torch.nn.Transformer(16, 4, 2, 1, 24, batch_first=True, **words).eval()
        src, tgt = torch.randn(2, 5, 16), torch.randn(2, 3, 16)
        keep = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
        causal = torch.nn.Transformer.generate_square_subsequent_mask(3)
        padding = torch.zeros(2, 5).masked_fill(keep == 0, -torch.inf)

        def theirs():
            # With gradients on, or torch's fast path for inference would leave padded rows out of its result.
            return model(src, tgt, tgt_mask=causal, src_key_padding_mask=padding, memory_key_padding_mask=padding).detach()

        sizes = {"dModel": 16, "nHead": 4, "numEncoderLayers": 2, "numDecoderLayers": 1, "dimFeedforward": 24}
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            save_file(model.state_dict(), folder / "theirs.safetensors")
            given = {"options": sizes | options, "src": src.tolist(), "tgt": tgt.tolist(), "keep": keep.tolist()}
            (folder / "options.json").write_text(json.dumps(given), encoding="utf-8")
            outputs = ours(folder)
            again, fresh = load_file(folder / "again.safetensors"), load_file(folder / "ours.safetensors")
        own = model.state_dict()
        self.assertEqual(again.keys(), own.keys())
        for key, tensor in own.items():
            self.assertTrue(torch.equal(tensor, again[key]), key)
        y = theirs()
        self.assertLessEqual((torch.tensor(outputs["again"]).view_as(y) - y).abs().max().item(), TOLERANCE)
        model.load_state_dict(fresh, strict=True)
        y = theirs()
        self.assertLessEqual((torch.tensor(outputs["ours"]).view_as(y) - y).abs().max().item(), TOLERANCE)
        for key, tensor in fresh.items():
            self.check_initial(key, tensor, own[key])

    def check_initial(self, key, here, there):
        if here.dim() > 1:
            bound = math.sqrt(6 / (here.shape[0] + here.shape[1]))
            for tensor in (here, there):
                self.assertLessEqual(tensor.abs().max().item(), bound, key)
                self.assertGreaterEqual(tensor.abs().max().item(), 0.95 * bound, key)
        elif "linear" in key:
            bound = 1 / math.sqrt(16 if "linear1" in key else 24)
            for tensor in (here, there):
                self.assertLessEqual(tensor.abs().max().item(), bound, key)
        else:
            self.assertTrue(torch.equal(here, there), key)  # zeros and ones

    def test_post_norm_relu(self):
        self.check({}, {})

    def test_pre_norm_gelu_without_biases(self):
        self.check({"norm_first": True, "activation": "gelu", "bias": False, "layer_norm_eps": 1e-3}, {"normFirst": True, "activation": "gelu", "bias": False, "layerNormEps": 1e-3})


if __name__ == "__main__":
    unittest.main()
