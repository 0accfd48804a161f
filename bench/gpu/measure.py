"""What an engine step costs on a real GPU: a transformer's forward pass over a grid, and a small engine.

``python bench/gpu/measure.py OUT`` needs torch, Triton and a CUDA GPU with 80 GB. The model has the
shapes of an 8B dense model (32 layers, hidden 4096, 32 heads, 8 KV heads of 128, FFN 14336, vocabulary
128 256), bf16, random weights, paged KV. Two measurements:

* **grid**: the GPU's time of one step for (decodes n, context, prefill tokens), from a CUDA graph, so
  without an engine's host time. Median of the repeats.
* **engine**: continuous batching of Poisson arrivals in real time; every step's wall time, host included,
  with who was in it. Decode steps from graphs by batch size, steps with prefill eager.

It is no vLLM: no tensor parallelism, no fused norms or rope, no sampling but argmax, no quantisation.
"""

# ruff: noqa: N803, N812, PLR0917, SLF001, B905, C416 (kernels name what they hold as their field does)

from __future__ import annotations

import csv
import gc
import json
import random
import sys
import time
from collections import deque
from pathlib import Path

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch.nn.attention import SDPBackend, sdpa_kernel

LAYERS, HIDDEN, HEADS, KV_HEADS, DIM, FFN, VOCAB = 32, 4096, 32, 8, 128, 14_336, 128_256
PAGE, POOL_TOKENS, SPLITS = 64, 262_144, 16
MOST_CONTEXT = 16_384
BUCKETS = (
    16,
    32,
    64,
    96,
    128,
    192,
    256,
    384,
    512,
    768,
    1024,
    1536,
    2048,
    3072,
    4096,
    6144,
    8192,
    10240,
    12288,
    16384,
)
DEV = "cuda"


@triton.jit
def _decode(Q, K, V, TABLE, LENS, PART, STAT, stride_t, PAGE: tl.constexpr, GROUP: tl.constexpr,
            KVH: tl.constexpr, D: tl.constexpr, SPLITS: tl.constexpr):  # fmt: skip
    """One split of one sequence's one KV head: flash-decoding over its pages."""
    seq, head, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(LENS + seq)
    pages = (length + PAGE - 1) // PAGE
    each = (pages + SPLITS - 1) // SPLITS
    first, last = part * each, tl.minimum((part + 1) * each, pages)
    rows, cols, keys = tl.arange(0, 16), tl.arange(0, D), tl.arange(0, PAGE)
    q = tl.load(
        Q + (seq * KVH * GROUP + head * GROUP + rows[:, None]) * D + cols[None, :],
        mask=rows[:, None] < GROUP,
        other=0.0,
    )
    top = tl.full([16], -1e30, tl.float32)
    total = tl.zeros([16], tl.float32)
    acc = tl.zeros([16, D], tl.float32)
    for page in range(first, last):
        base = tl.load(TABLE + seq * stride_t + page).to(tl.int64) * PAGE
        at = ((base + keys)[:, None] * KVH + head) * D + cols[None, :]
        k = tl.load(K + at)
        scores = tl.dot(q, tl.trans(k)) * 0.08838834764831845
        scores = tl.where((page * PAGE + keys)[None, :] < length, scores, -1e30)
        new = tl.maximum(top, tl.max(scores, 1))
        p = tl.exp(scores - new[:, None])
        scale = tl.exp(top - new)
        total = total * scale + tl.sum(p, 1)
        v = tl.load(V + at)
        acc = acc * scale[:, None] + tl.dot(p.to(v.dtype), v)
        top = new
    out = (seq * KVH + head) * SPLITS + part
    tl.store(PART + (out * 16 + rows[:, None]) * D + cols[None, :], acc)
    tl.store(STAT + (out * 16 + rows) * 2, top)
    tl.store(STAT + (out * 16 + rows) * 2 + 1, total)


@triton.jit
def _merge(PART, STAT, OUT, GROUP: tl.constexpr, KVH: tl.constexpr, D: tl.constexpr, SPLITS: tl.constexpr):
    seq, head = tl.program_id(0), tl.program_id(1)
    kv, row = head // GROUP, head % GROUP
    cols = tl.arange(0, D)
    top = tl.full([1], -1e30, tl.float32)
    total = tl.zeros([1], tl.float32)
    acc = tl.zeros([D], tl.float32)
    for part in range(SPLITS):
        at = ((seq * KVH + kv) * SPLITS + part) * 16 + row
        m, s = tl.load(STAT + at * 2 + tl.arange(0, 1)), tl.load(STAT + at * 2 + 1 + tl.arange(0, 1))
        new = tl.maximum(top, m)
        a, b = tl.exp(top - new), tl.exp(m - new)
        acc = acc * tl.sum(a) + tl.load(PART + at * D + cols) * tl.sum(b)
        total = total * a + s * b
        top = new
    tl.store(OUT + (seq * KVH * GROUP + head) * D + cols, (acc / tl.sum(total)).to(OUT.dtype.element_ty))


class Model:
    """Weights, cache, and a step."""

    def __init__(self) -> None:
        def w(*shape):
            return torch.empty(*shape, dtype=torch.bfloat16, device=DEV).normal_(0, 0.02)

        self.layers = [
            (
                w(HIDDEN),
                w((HEADS + 2 * KV_HEADS) * DIM, HIDDEN),
                w(HIDDEN, HEADS * DIM),
                w(HIDDEN),
                w(2 * FFN, HIDDEN),
                w(HIDDEN, FFN),
            )
            for _ in range(LAYERS)
        ]
        self.head, self.embed = w(VOCAB, HIDDEN), w(VOCAB, HIDDEN)
        self.k = [
            torch.empty(POOL_TOKENS, KV_HEADS, DIM, dtype=torch.bfloat16, device=DEV).normal_()
            for _ in range(LAYERS)
        ]
        self.v = [
            torch.empty(POOL_TOKENS, KV_HEADS, DIM, dtype=torch.bfloat16, device=DEV).normal_()
            for _ in range(LAYERS)
        ]
        angle = torch.outer(
            torch.arange(MOST_CONTEXT, device=DEV).float(),
            500_000.0 ** (-torch.arange(0, DIM, 2, device=DEV).float() / DIM),
        )
        self.cos, self.sin = angle.cos().bfloat16(), angle.sin().bfloat16()

    def rope(self, x, at):
        c, s = self.cos[at][:, None, :], self.sin[at][:, None, :]
        a, b = x[..., : DIM // 2], x[..., DIM // 2 :]
        return torch.cat((a * c - b * s, a * s + b * c), -1)

    def attend(self, q, layer, table, lens):
        n = q.shape[0]
        part = torch.empty(n * KV_HEADS * SPLITS * 16 * DIM, dtype=torch.float32, device=DEV)
        stat = torch.empty(n * KV_HEADS * SPLITS * 16 * 2, dtype=torch.float32, device=DEV)
        out = torch.empty_like(q)
        group = HEADS // KV_HEADS
        _decode[(n, KV_HEADS, SPLITS)](
            q,
            self.k[layer],
            self.v[layer],
            table,
            lens,
            part,
            stat,
            table.stride(0),
            PAGE,
            group,
            KV_HEADS,
            DIM,
            SPLITS,
        )
        _merge[(n, HEADS)](part, stat, out, group, KV_HEADS, DIM, SPLITS)
        return out

    @torch.inference_mode()
    def step(self, ids, at, slots, n, table, lens, prompts):
        """One step: ``n`` decodes first, then the tokens of ``prompts`` (lengths); next token of each."""
        x = self.embed[ids]
        for layer, (n1, wqkv, wo, n2, wgu, wd) in enumerate(self.layers):
            h = F.rms_norm(x, (HIDDEN,), n1)
            q, k, v = (h @ wqkv.T).split((HEADS * DIM, KV_HEADS * DIM, KV_HEADS * DIM), -1)
            q, k, v = (
                self.rope(q.view(-1, HEADS, DIM), at),
                self.rope(k.view(-1, KV_HEADS, DIM), at),
                v.view(-1, KV_HEADS, DIM),
            )
            self.k[layer].index_copy_(0, slots, k)
            self.v[layer].index_copy_(0, slots, v)
            parts = [self.attend(q[:n].contiguous(), layer, table, lens)] if n else []
            start = n
            for length in prompts:
                cut = slice(start, start + length)
                # Flash: cuDNN would plan anew, some 70 ms, for every length that it meets.
                with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                    one = F.scaled_dot_product_attention(
                        *(t[cut].transpose(0, 1)[None] for t in (q, k, v)), is_causal=True, enable_gqa=True
                    )
                parts.append(one[0].transpose(0, 1))
                start += length
            if start < q.shape[0]:  # padding
                parts.append(torch.zeros_like(q[start:]))
            o = torch.cat(parts) if len(parts) > 1 else parts[0]
            x = x + o.reshape(-1, HEADS * DIM) @ wo.T
            gate, up = (F.rms_norm(x, (HIDDEN,), n2) @ wgu.T).chunk(2, -1)
            x = x + (F.silu(gate) * up) @ wd.T
        last = (
            torch.cat((torch.arange(n, device=DEV), n - 1 + torch.tensor(prompts, device=DEV).cumsum(0)))
            if prompts
            else slice(0, n)
        )
        return (x[last] @ self.head.T).argmax(-1)


def check(model: Model) -> float:
    """The decode kernel against float64; relative error."""
    lens = torch.tensor([1, 63, 64, 65, 1000, 4097], dtype=torch.int32, device=DEV)
    table = torch.randperm(POOL_TOKENS // PAGE, device=DEV)[: 6 * 128].view(6, 128).int()
    q = torch.randn(6, HEADS, DIM, device=DEV).bfloat16()
    got = model.attend(q, 3, table, lens).double()
    worst = 0.0
    for i, length in enumerate(lens.tolist()):
        at = (table[i].long()[:, None] * PAGE + torch.arange(PAGE, device=DEV)).flatten()[:length]
        k, v = (t[3][at].double().repeat_interleave(4, 1) for t in (model.k, model.v))
        p = torch.einsum("hd,thd->ht", q[i].double(), k).mul(DIM**-0.5).softmax(-1)
        ref = torch.einsum("ht,thd->hd", p, v)
        worst = max(worst, float((got[i] - ref).norm() / ref.norm()))
    assert worst < 1e-2, worst
    return worst


def inputs(n, context, prompts):
    """A random step of this shape."""
    total = n + sum(prompts)
    pages = -(-context // PAGE) if n else 1
    free = torch.randperm(POOL_TOKENS // PAGE, device=DEV)
    table = free[: max(1, n) * pages].view(max(1, n), pages).int()
    lens = torch.full((max(1, n),), context, dtype=torch.int32, device=DEV)
    at = torch.cat(
        [torch.full((n,), max(0, context - 1), device=DEV), *(torch.arange(p, device=DEV) for p in prompts)]
    ).long()
    slots = torch.randperm(POOL_TOKENS, device=DEV)[:total]
    return torch.randint(0, VOCAB, (total,), device=DEV), at, slots, n, table, lens, prompts


def timed(model, shape, repeats=12):
    """The median GPU time of a step in µs, from a graph."""
    args = inputs(*shape)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(2):
            model.step(*args)
    torch.cuda.synchronize()
    if args[-1]:  # the index of last rows is made on the host: no graph, but a queue that hides the launches
        marks = [(torch.cuda.Event(True), torch.cuda.Event(True)) for _ in range(repeats)]
        for a, b in marks:
            torch.cuda._sleep(30_000_000)
            a.record()
            model.step(*args)
            b.record()
    else:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            model.step(*args)
        marks = [(torch.cuda.Event(True), torch.cuda.Event(True)) for _ in range(repeats)]
        for a, b in marks:
            a.record()
            graph.replay()
            b.record()
    torch.cuda.synchronize()
    times = sorted(a.elapsed_time(b) * 1000 for a, b in marks)
    return times[len(times) // 2], times[len(times) // 10], times[-1 - len(times) // 10]


def grid(model, out: Path, budget_s: float, *, prefill_only: bool = False) -> None:
    """The table of step times."""
    shapes = [
        (n, c, [])
        for c in (128, 512, 1024, 2048, 4096, 8192)
        for n in (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256)
        if n * c <= 240_000
    ]
    shapes += [(0, 0, [p]) for p in (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 12288)]
    shapes += [(n, c, [p]) for n in (1, 8, 32, 128) for c in (512, 1536) for p in (128, 512, 2048, 6144)]
    shapes += [(n, 1024, [2048] * m) for n in (8, 64) for m in (2, 4)]
    shapes = [s for s in shapes if s[2] and s[1] != 1536] if prefill_only else shapes
    begun = time.time()
    with (out / "step_times.csv").open("w") as file:
        table = csv.writer(file)
        table.writerow(
            ["decodes", "context", "prompts", "prompt_tokens", "kv_tokens", "median_us", "p10_us", "p90_us"]
        )
        for n, c, p in shapes:
            if time.time() - begun > budget_s:
                print("grid cut short at", n, c, p)
                break
            m, lo, hi = timed(model, (n, c, p))
            table.writerow([n, c, len(p), sum(p), n * c, round(m, 1), round(lo, 1), round(hi, 1)])
            file.flush()
    print("grid", round(time.time() - begun), "s")


TEAMS = (("chat", 600, 200, 0.60), ("long-prompt", 6_000, 60, 0.15), ("long-answer", 150, 1_200, 0.25))


class Engine:
    """Continuous batching in real time on the model."""

    def __init__(self, model: Model) -> None:
        self.m = model
        self.sizes = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 80, 96, 128, 160]
        most = self.sizes[-1]
        self.table = torch.zeros(most, MOST_CONTEXT // PAGE, dtype=torch.int32, device=DEV)
        self.lens = torch.ones(most, dtype=torch.int32, device=DEV)
        self.ids, self.at, self.slots = (torch.zeros(most, dtype=torch.long, device=DEV) for _ in range(3))
        self.graphs, self.outs = {}, {}
        for n in self.sizes:
            args = (self.ids[:n], self.at[:n], self.slots[:n], n, self.table[:n], self.lens[:n], [])
            side = torch.cuda.Stream()
            with torch.cuda.stream(side):
                model.step(*args)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.outs[n] = model.step(*args)
            self.graphs[n] = graph

        for padded in BUCKETS:  # every shape once, so that no call pays for the libraries' first look at it
            self.step([padded - 1 if padded > 1 else 1], torch.zeros(padded, dtype=torch.long, device=DEV), 8)
        torch.cuda.synchronize()

    def step(self, prompts: list[int], slots, n: int):
        """A step with prefill, padded to a size that was seen before; the padding writes to a spare page."""
        total = sum(prompts)
        padded = next(b for b in BUCKETS if b >= total)
        spare = padded - total
        at = torch.cat(
            [
                *(torch.arange(p, device=DEV) for p in prompts),
                torch.zeros(spare, dtype=torch.long, device=DEV),
            ]
        )
        ids = torch.randint(0, VOCAB, (padded,), device=DEV)
        where = torch.cat(
            (slots[:total], torch.full((spare,), POOL_TOKENS - 1, dtype=torch.long, device=DEV))
        )
        return self.m.step(
            torch.cat((self.ids[:n], ids)),
            torch.cat((self.at[:n], at)),
            torch.cat((self.slots[:n], where)),
            n,
            self.table[: max(1, n)],
            self.lens[: max(1, n)],
            prompts,
        )

    def run(self, rate: float, seconds: float, seed: int, steps_csv, calls_csv, load: str) -> None:
        chance = random.Random(seed)
        coming, at = deque(), 0.0
        while (at := at + chance.expovariate(rate)) < seconds:
            name, p, o, _ = chance.choices(TEAMS, [t[3] for t in TEAMS])[0]
            coming.append(
                [
                    len(coming),
                    name,
                    at,
                    min(12_000, max(1, int(p * 2.718 ** chance.gauss(0, 0.6)))),
                    min(4_000, max(1, int(o * 2.718 ** chance.gauss(0, 0.6)))),
                ]
            )
        free = list(range(POOL_TOKENS // PAGE - 1))  # the last page is spare
        waiting, running = deque(), []
        zero = time.perf_counter()
        while coming or waiting or running:
            now = time.perf_counter() - zero
            while coming and coming[0][2] <= now:
                waiting.append(coming.popleft())
            if not waiting and not running:
                time.sleep(min(0.002, coming[0][2] - now))
                continue
            fresh, room = [], 8_192
            while waiting and len(running) + len(fresh) < self.sizes[-1]:
                call = waiting[0]
                need = -(-(call[3] + call[4] + 1) // PAGE)
                if need > len(free) or (fresh and call[3] > room):
                    break
                waiting.popleft()
                room -= call[3]
                fresh.append({"call": call, "pages": [free.pop() for _ in range(need)], "made": 0})
                if room <= 0:
                    break
            begun = time.perf_counter()
            n = len(running)
            context = [r["call"][3] + r["made"] for r in running]
            size = next(s for s in self.sizes if s >= n) if n else 0
            if n:
                host = torch.tensor(
                    [
                        [c for c in context] + [1] * (size - n),
                        [
                            r["pages"][(c - 1) // PAGE] * PAGE + (c - 1) % PAGE
                            for r, c in zip(running, context)
                        ]
                        + [0] * (size - n),
                    ]
                )
                both = host.to(DEV, non_blocking=True)
                self.lens[:size].copy_(both[0])
                self.at[:size].copy_(both[0] - 1)
                self.slots[:size].copy_(both[1])
            if n and self.changed:
                width = max(len(r["pages"]) for r in running)
                rows = torch.tensor(
                    [r["pages"] + [0] * (width - len(r["pages"])) for r in running], dtype=torch.int32
                )
                self.table[:n, :width].copy_(rows.to(DEV))
            self.changed = bool(fresh)
            if fresh:
                prompts = [f["call"][3] for f in fresh]
                slots = torch.cat(
                    [
                        (
                            torch.tensor(f["pages"], device=DEV)[:, None] * PAGE
                            + torch.arange(PAGE, device=DEV)
                        ).flatten()[: f["call"][3]]
                        for f in fresh
                    ]
                )
                out = self.step(prompts, slots, n)
                out[:1].cpu()
            else:
                self.graphs[size].replay()
                self.ids[:size].copy_(self.outs[size])
                self.outs[size][:1].cpu()
            ended = time.perf_counter()
            steps_csv.writerow(
                [
                    load,
                    round((begun - zero) * 1e6),
                    round((ended - begun) * 1e6),
                    n,
                    sum(context),
                    sum(f["call"][3] for f in fresh),
                    " ".join(str(r["call"][0]) for r in running),
                    " ".join(str(f["call"][0]) for f in fresh),
                ]
            )
            stay = []
            for r in running + fresh:
                r["made"] += 1
                if "first" not in r:
                    r["first"] = ended - zero
                if r["made"] >= r["call"][4]:
                    number, name, start, prompt, output = r["call"]
                    calls_csv.writerow(
                        [
                            load,
                            number,
                            name,
                            round(start * 1e6),
                            round(r["first"] * 1e6),
                            round((ended - zero) * 1e6),
                            prompt,
                            output,
                        ]
                    )
                    free += r["pages"]
                    self.changed = True
                else:
                    stay.append(r)
            running = stay

    changed = True


def main() -> None:
    out = Path(sys.argv[1])
    print(torch.cuda.get_device_name(), torch.__version__)
    gc.disable()
    begun = time.time()
    model = Model()
    torch.cuda.synchronize()
    print("model", round(time.time() - begun), "s; kernel check", check(model))
    (out / "machine.json").write_text(
        json.dumps(
            {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "triton": triton.__version__}
        )
    )
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60
    grid(model, out, 240, prefill_only=len(sys.argv) > 3)
    engine = Engine(model)
    print("graphs", round(time.time() - begun), "s")
    with (out / "steps.csv").open("w") as a, (out / "calls.csv").open("w") as b:
        steps, calls = csv.writer(a), csv.writer(b)
        steps.writerow(["load", "at_us", "us", "decodes", "kv_tokens", "prompt_tokens", "running", "fresh"])
        calls.writerow(["load", "call", "team", "start_us", "first_us", "end_us", "prompt", "output"])
        for load, rate in (("low", 0.5), ("mid", 2.5), ("saturated", 6.0)):
            t = time.time()
            engine.run(rate, seconds, 7, steps, calls, load)
            print(load, round(time.time() - t), "s")


if __name__ == "__main__":
    main()
