"""torch.nn.functional.scaled_dot_product_attention with attn_mask: results and gradients in float64, for masks of biases and of minus infinity, for all, for
each sequence and for each head; and of documents packed into one row, as a block-diagonal causal mask.

Writes attention-masks.json. Every query sees at least one key: PyTorch gives NaN where none is seen.
"""
import torch

from common import out_folder, write_json

H, D = 3, 8


def heads(x):
    return x.view(*x.shape[:2], H, D).transpose(1, 2)


def case(name, mask, batch, tq, tk):
    q, k, v = (torch.randn(batch, t, H * D).double().requires_grad_() for t in (tq, tk, tk))
    dy = torch.randn(batch, tq, H * D).double()
    shaped = mask if mask.dim() == 2 else mask.view(*((batch, H) if mask.shape[0] == batch * H else (mask.shape[0], 1)), tq, tk)
    y = torch.nn.functional.scaled_dot_product_attention(heads(q), heads(k), heads(v), attn_mask=shaped).transpose(1, 2).reshape(batch, tq, H * D)
    y.backward(dy)
    values = {"q": q, "k": k, "v": v, "dy": dy, "y": y, "d_q": q.grad, "d_k": k.grad, "d_v": v.grad}
    result = {n: [round(x, 8) for x in t.detach().flatten().tolist()] for n, t in values.items()}
    finite = torch.where(mask.isinf(), torch.zeros_like(mask), mask)
    return {"name": name, "shape": [batch, tq, tk], **result, "mask": {"shape": list(mask.shape), "values": [round(x, 8) for x in finite.flatten().tolist()], "out": mask.isinf().flatten().int().tolist()}}


def drawn(*shape):
    mask = torch.randn(*shape).double().mul(1e4).round().div(1e4)
    mask[torch.rand(*shape) < 0.3] = -torch.inf
    mask[..., 0] = 0.5
    return mask


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(81)
    starts = torch.tensor([0] * 4 + [4] * 5 + [9] * 2)
    place = torch.arange(11)
    packed = torch.zeros(11, 11).double().masked_fill((place[None] > place[:, None]) | (place[None] < starts[:, None]), -torch.inf)
    cases = [case("for all", drawn(5, 7), 2, 5, 7), case("of each sequence", drawn(2, 6, 9), 2, 6, 9), case("of each head", drawn(2 * H, 9, 5), 2, 9, 5), case("documents", packed, 1, 11, 11)]
    write_json("attention-masks.json", __file__, {"torch": torch.__version__, "heads": H, "starts": starts.tolist(), "cases": cases}, out_folder())
