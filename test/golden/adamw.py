"""AdamW and SGD against PyTorch in float64: 1,000 updates with gradients frozen in advance. Writes optimizers.json.

The gradients of update t are g[(t * 7) % 16] of sixteen fixed rows, so that the file stays small. Learning rates follow a linear warm-up of 50
updates and then fall linearly; the values after updates 1, 10, 100 and 1000 are kept.
"""
import torch

from common import out_folder, write_json

N, STEPS, KEEP = 48, 1000, (1, 10, 100, 1000)


def rate(peak, t):
    return peak * t / 50 if t < 50 else peak * (STEPS + 1 - t) / (STEPS + 1 - 50)


def run(optimizer_of, peak, start, gradients):
    p = torch.nn.Parameter(start.double().clone())
    optimizer = optimizer_of([p])
    kept = {}
    for t in range(1, STEPS + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate(peak, t)
        p.grad = gradients[(t * 7) % 16].double().clone()
        optimizer.step()
        if t in KEEP:
            kept[str(t)] = p.detach().tolist()
    return kept


def main():
    torch.manual_seed(3)
    torch.set_num_threads(1)
    start = torch.randn(N)
    scale = torch.logspace(-6, 2, N)
    gradients = torch.randn(16, N) * scale
    cases = []
    for peak, beta1, beta2, eps, decay in [(1e-3, 0.9, 0.99, 1e-8, 0.1), (1e-2, 0.9, 0.999, 1e-8, 0.0), (3e-4, 0.8, 0.95, 1e-3, 0.5), (1e-3, 0.0, 0.9, 1e-15, 0.01)]:
        make = lambda ps: torch.optim.AdamW(ps, lr=peak, betas=(beta1, beta2), eps=eps, weight_decay=decay, foreach=False)
        cases.append({"optim": "adamw", "learningRate": peak, "adamBeta1": beta1, "adamBeta2": beta2, "adamEpsilon": eps, "weightDecay": decay, "values": run(make, peak, start, gradients)})
    small = gradients / (1 + gradients.abs())
    for peak, momentum, nesterov, decay in [(1e-2, 0.0, False, 0.0), (1e-2, 0.9, False, 0.01), (1e-2, 0.9, True, 0.0)]:
        make = lambda ps: torch.optim.SGD(ps, lr=peak, momentum=momentum, nesterov=nesterov, weight_decay=decay, foreach=False)
        cases.append({"optim": "sgd", "learningRate": peak, "momentum": momentum, "nesterov": nesterov, "weightDecay": decay, "values": run(make, peak, start, small)})
    write_json("optimizers.json", __file__, {"torch": torch.__version__, "steps": STEPS, "warmup": 50, "start": start.tolist(), "gradients": gradients.tolist(), "smallGradients": small.tolist(), "cases": cases}, out_folder())


if __name__ == "__main__":
    main()
