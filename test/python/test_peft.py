"""Adapters both ways with PEFT: what was trained and saved here is loaded by PEFT and gives the same logits, also merged; what PEFT saved gives the same logits here and is
written again with the same tensors."""

import json
import pathlib
import tempfile
import unittest
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from test_transformers import TOLERANCE, ours, strict_load, torch_logits
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

KINDS = {"gpt2": GPT2LMHeadModel, "llama": LlamaForCausalLM}
NO_IDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def difference(values, theirs):
    return (torch.tensor(values).view_as(theirs) - theirs).abs().max().item()


class OursInPeft(unittest.TestCase):
    def check(self, kind, adapter):
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            made = ours("adapter", folder, {"modelType": kind, "adapter": adapter})
            base = strict_load(folder / "base", KINDS[kind])
            plain = torch_logits(base, [made["ids"]])
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")  # PEFT's use of transformers, not ours
                model = PeftModel.from_pretrained(base, folder / "adapter").eval()
            theirs = torch_logits(model, [made["ids"]])
            self.assertGreater((theirs - plain).abs().max().item(), 0.05)
            self.assertLessEqual(difference(made["logits"], theirs), TOLERANCE)
            merged = strict_load(folder / "merged", KINDS[kind])
            self.assertLessEqual((torch_logits(merged, [made["ids"]]) - theirs).abs().max().item(), TOLERANCE)
            self.assertEqual(sorted(model.peft_config["default"].target_modules), sorted(made["targets"]))

    def test_defaults(self):
        self.check("gpt2", {"rank": 4, "alpha": 8})
        self.check("llama", {"rank": 4, "alpha": 8})

    def test_all_layers_rank_stabilised(self):
        self.check("gpt2", {"rank": 4, "targetModules": "all-linear", "useRslora": True, "dropout": 0.1})
        self.check("llama", {"rank": 2, "targetModules": "all-linear"})

    def test_patterns_and_a_module_trained_whole(self):
        self.check("gpt2", {"rank": 3, "targetModules": ["h.1.*.c_proj"], "modulesToSave": ["ln_f"]})


class PeftInOurs(unittest.TestCase):
    def check(self, kind, half=None, **options):
        torch.manual_seed(5)
        if kind == "gpt2":
            base = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=24, n_embd=32, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=None))
            options["fan_in_fan_out"] = True
        else:
            base = LlamaForCausalLM(LlamaConfig(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                                max_position_embeddings=24, **NO_IDS))
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            base.save_pretrained(folder / "base")
            model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **options)).eval()
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn_like(parameter) * 0.2)
            if half is not None:
                for name, parameter in model.named_parameters():
                    if parameter.requires_grad:
                        parameter.data = parameter.data.to(half).float()
            model.save_pretrained(folder / "adapter")
            ids = torch.randint(0, 50, (3, 17)).tolist()
            theirs = torch_logits(model, ids)
            here = ours("adapted", folder, ids)
            self.assertLessEqual(difference(here["logits"], theirs), TOLERANCE)
            was, now = load_file(folder / "adapter" / "adapter_model.safetensors"), load_file(folder / "again" / "adapter_model.safetensors")
            self.assertEqual(was.keys(), now.keys())
            for name, tensor in was.items():
                self.assertTrue(torch.equal(tensor, now[name]), name)
            before, after = (json.loads((folder / name / "adapter_config.json").read_text("utf-8")) for name in ("adapter", "again"))
            for key, value in after.items():
                if key in ("target_modules", "modules_to_save", "rank_pattern", "alpha_pattern", "base_model_name_or_path"):
                    continue  # other names may mean the same layers: PEFT decides below
                self.assertEqual(value, before[key], key)
            again = PeftModel.from_pretrained(KINDS[kind].from_pretrained(folder / "base"), folder / "again").eval()
            self.assertTrue(torch.equal(torch_logits(again, ids), theirs))

    def test_defaults(self):
        self.check("gpt2")
        self.check("llama")

    def test_all_linear_and_whole_modules(self):
        self.check("gpt2", r=3, lora_alpha=7, target_modules="all-linear", modules_to_save=["ln_f"])
        self.check("llama", r=3, target_modules="all-linear", use_rslora=True)

    def test_regular_expression_and_patterns(self):
        self.check("gpt2", r=4, target_modules=r".*\.h\.1\..*c_(fc|attn)", rank_pattern={"mlp.c_fc": 2}, alpha_pattern={"mlp.c_fc": 5})

    def test_sixteen_bits(self):
        self.check("gpt2", half=torch.bfloat16)


class Classifiers(unittest.TestCase):
    def test_the_head_comes_with_the_adapter(self):
        torch.manual_seed(6)
        sizes = {"vocab_size": 50, "n_positions": 24, "n_embd": 32, "n_layer": 2, "n_head": 4, "num_labels": 3, "pad_token_id": 0}
        base = GPT2ForSequenceClassification(GPT2Config(**sizes, bos_token_id=None, eos_token_id=None)).eval()
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            base.save_pretrained(folder / "base")
            model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=4, fan_in_fan_out=True)).eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn_like(parameter) * 0.3)
            model.save_pretrained(folder / "adapter")
            ids = torch.randint(1, 50, (4, 17)).tolist()
            theirs = torch_logits(model, ids).softmax(-1)
            here = ours("classified", folder, ids)
            self.assertLessEqual(difference(here["probabilities"], theirs), TOLERANCE)
            config = json.loads((folder / "again" / "adapter_config.json").read_text("utf-8"))
            self.assertEqual([config["task_type"], config["modules_to_save"]], ["SEQ_CLS", ["score"]])
            again = PeftModel.from_pretrained(GPT2ForSequenceClassification.from_pretrained(folder / "base"), folder / "again").eval()
            self.assertTrue(torch.equal(torch_logits(again, ids).softmax(-1), theirs))


if __name__ == "__main__":
    unittest.main()
