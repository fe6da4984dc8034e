"""PyTorch as a contestant of the training benchmark: two threads, fused AdamW. Speaks the protocol of harness/protocol.ts."""

import json
import math
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

WARM_UP_MS = 60
SAMPLE_SECONDS = 0.002


class EncoderLayer(nn.Module):
    def __init__(self, hidden, heads, intermediate):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(hidden, hidden) for _ in range(4))
        self.attention_norm, self.norm = nn.LayerNorm(hidden, 1e-12), nn.LayerNorm(hidden, 1e-12)
        self.up, self.down = nn.Linear(hidden, intermediate), nn.Linear(intermediate, hidden)

    def forward(self, x):
        batch, length, hidden = x.shape

        def split(projected):
            return projected.view(batch, length, self.heads, hidden // self.heads).transpose(1, 2)

        attended = F.scaled_dot_product_attention(split(self.query(x)), split(self.key(x)), split(self.value(x)))
        x = self.attention_norm(x + self.output(attended.transpose(1, 2).reshape(batch, length, hidden)))
        return self.norm(x + self.down(F.gelu(self.up(x))))


def training(model, x, loss_of):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    model.train()

    def step():
        optimizer.zero_grad()
        loss = loss_of(model(x))
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def prepare(workload):
    batch = workload["batch"]
    if workload["name"] == "train mlp":
        model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
        labels = torch.randint(0, 10, (batch,))
        return training(model, torch.rand(batch, 784) * 2 - 1, lambda output: F.cross_entropy(output, labels))
    if workload["name"] == "train encoder":
        hidden = workload["hidden"]
        layers = [EncoderLayer(hidden, workload["heads"], workload["intermediate"]) for _ in range(workload["layers"])]
        x = torch.rand(batch, workload["length"], hidden) * 2 - 1
        return training(nn.Sequential(*layers), x, lambda output: (output * output).mean())
    raise ValueError(f"this contestant has no workload '{workload['name']}'")


def timed(step, runs):
    start = time.perf_counter()
    for _ in range(runs):
        step()
    return (time.perf_counter() - start) / runs


def warm_up(step, milliseconds):
    start, fastest, runs = time.perf_counter(), math.inf, 0
    while runs < 3 or (time.perf_counter() - start) * 1000 < milliseconds:
        fastest = min(fastest, timed(step, 1))
        runs += 1
    return max(1, math.ceil(SAMPLE_SECONDS / fastest))


def reply(**message):
    print(json.dumps(message, separators=(",", ":")), flush=True)


torch.set_num_threads(2)
reply(type="ready", versions={"torch": torch.__version__})
step, runs = None, 1
for line in sys.stdin:
    request = json.loads(line)
    try:
        if request["type"] == "prepare":
            step = prepare(request["workload"])
            runs = warm_up(step, request["workload"].get("warmUp", WARM_UP_MS))
            reply(type="prepared", facts={})
        else:
            reply(type="samples", times=[timed(step, runs) * 1000 for _ in range(request["count"])])
    except Exception as error:  # whatever it is, the report says it
        reply(type="failed", reason=str(error))
