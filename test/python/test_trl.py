"""The golden numbers of preference losses are TRL's: its DPOTrainer computes loss, gradients and what it logs on the same models and pairs as golden/dpo.py. What the library
computes is compared with the golden file in test/training/adapterGoldens.test.ts."""

import json
import pathlib
import tempfile
import unittest

import torch
from datasets import Dataset
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
INFO = json.loads((GOLDEN / "dpo.json").read_text("utf-8"))
TENSORS = load_file(GOLDEN / "dpo.safetensors")


def model(prefix):
    sizes = {"vocab_size": INFO["vocabSize"], "n_positions": INFO["blockSize"], "n_embd": INFO["nEmbd"], "n_layer": INFO["nLayer"], "n_head": INFO["nHead"]}
    made = GPT2LMHeadModel(GPT2Config(**sizes, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=None, eos_token_id=None))
    made.load_state_dict({n.removeprefix(prefix): t for n, t in TENSORS.items() if n.startswith(prefix)}, strict=False)
    return made


def tokenizer():
    raw = Tokenizer(models.WordLevel({f"w{i}": i for i in range(INFO["vocabSize"])}, unk_token="w0"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="w0", eos_token="w0")


def batch():
    ids = torch.cat([TENSORS["chosenIds"], TENSORS["rejectedIds"]]).long()
    labels = torch.cat([TENSORS["chosenLabels"], TENSORS["rejectedLabels"]])
    completion = torch.zeros_like(ids)
    completion[:, 1:] = (labels[:, :-1] != -100).long()  # labels are shifted, TRL's mask is not
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": completion}


class Dpo(unittest.TestCase):
    def check(self, kind):
        golden = INFO["kinds"][kind]
        policy = model("base.")
        pair = Dataset.from_dict({"prompt": ["w1"], "chosen": ["w2"], "rejected": ["w3"]})
        with tempfile.TemporaryDirectory() as folder:
            options = {"beta": golden["options"]["beta"], "loss_type": golden["options"].get("lossType", "sigmoid")}
            config = DPOConfig(output_dir=folder, report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False, **options)
            trainer = DPOTrainer(model=policy, ref_model=model("reference."), args=config, train_dataset=pair, processing_class=tokenizer())
            trainer.model.train()
            loss = trainer.compute_loss(trainer.model, batch())
            loss.backward()
        self.assertAlmostEqual(loss.item(), golden["loss"], delta=1e-5)
        for name, values in trainer._metrics["train"].items():
            if name in golden["told"]:
                self.assertAlmostEqual(values[0], golden["told"][name], delta=1e-4, msg=name)
        self.assertLessEqual(set(golden["told"]), set(trainer._metrics["train"]))
        for name, parameter in policy.named_parameters():
            expected = TENSORS[f"{kind}.grad.{name}"]
            self.assertLessEqual((parameter.grad - expected).abs().max().item(), 1e-5 * expected.abs().max().item() + 1e-9, name)

    def test_sigmoid(self):
        self.check("sigmoid")

    def test_ipo(self):
        self.check("ipo")

    def test_hinge(self):
        self.check("hinge")


if __name__ == "__main__":
    unittest.main()
