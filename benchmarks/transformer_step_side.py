"""The PyTorch side of `transformer_step.py`: a training step of `nn.TransformerEncoder`, run when standard input asks for it.

The first line of standard input is JSON: threads, compile, and the size (batch, neurons, bins, layers, heads, feed_forward,
dropout, mask_rate). Each further line is a number of steps to run; the answer is one line of JSON, the milliseconds of each of
them, by the clock (`wall`) and of processor time (`cpu`). This file imports nothing but PyTorch.
"""

import json
import sys
import time

import torch
from torch import nn


class Transformer(nn.Module):
    """Tokens of one unit a neuron through PyTorch's encoder (pre-norm, ReLU) to log-rates."""

    def __init__(self, size):
        super().__init__()
        width = size["neurons"]
        layer = nn.TransformerEncoderLayer(
            width,
            size["heads"],
            size["feed_forward"],
            size["dropout"],
            activation="relu",
            batch_first=True,
            norm_first=True,
        )
        self.embedding = nn.Linear(width, width)
        self.place = nn.Parameter(0.02 * torch.randn(size["bins"], width))
        self.encoder = nn.TransformerEncoder(
            layer, size["layers"], norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.dropout = nn.Dropout(size["dropout"])
        self.readout = nn.Linear(width, width)

    def forward(self, counts):
        """Log-rates (trial, time, neuron)."""
        tokens = self.embedding(counts) * counts.shape[-1] ** 0.5 + self.place
        return self.readout(self.dropout(self.encoder(self.dropout(tokens))))


def update_of(size):
    """A training step: masks, forward, backward, clipping, AdamW."""
    torch.manual_seed(0)
    shape = (size["batch"], size["bins"], size["neurons"])
    counts = torch.poisson(torch.full(shape, 0.2))
    model = Transformer(size)
    likelihood = nn.PoissonNLLLoss(log_input=True, reduction="none")
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def loss_of(counts):
        is_masked = torch.rand(*shape[:2], 1) < size["mask_rate"]
        losses = likelihood(model(torch.where(is_masked, 0.0, counts)), counts)
        return torch.where(is_masked, losses, 0.0).sum() / is_masked.sum()

    if size["compile"]:
        loss_of = torch.compile(loss_of)

    def update():
        optimiser.zero_grad()
        loss_of(counts).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 200.0)
        optimiser.step()

    return update


def main():
    """Answer until standard input ends."""
    size = json.loads(sys.stdin.readline())
    torch.set_num_threads(size["threads"])
    update = update_of(size)
    update()
    print(json.dumps({"version": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        wall, cpu = [], []
        for _ in range(int(line)):
            begun, worked = time.perf_counter(), time.process_time()
            update()
            wall.append(1e3 * (time.perf_counter() - begun))
            cpu.append(1e3 * (time.process_time() - worked))
        print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)


if __name__ == "__main__":
    main()
