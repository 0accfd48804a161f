"""What a big policy costs to read and to decide by, over made-up files.

    python -m bench.policy_load

200 rules, 512 deployments, 500 routes, 40 kinds of data. CPU time, the best of several runs: floors.
What is asked: load and compile 0.5 s, a decision over 40 rules and 512 deployments 2 µs.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.core.classify import classify
from gateway.core.decide import decide
from gateway.core.values import Call, Caller, Surface
from gateway.policy.compile import compile_bundle
from gateway.policy.load import bundle_of

NOW = 1_795_392_000 * 1_000_000_000  # 2026-11-23
DEPLOYMENTS, ROUTES, KINDS, TEAMS = 512, 500, 40, 20
PLACES = ("CA-QC", "CA-ON", "US", "FR", "CA")


def files(rules: int) -> dict[str, bytes]:
    """Return the files of a bundle as people write them: block style, a line a fact."""
    wires = 'api: openai, url: "https://a.example.com/v1", model: m, secret: "env:K"'
    parts = {
        "policy": _policy(rules),
        "deployments": ["deployments:", *(line for i in range(DEPLOYMENTS) for line in _facts(i))],
        "connections": ["connections:", *(f"  d{i}: {{{wires}}}" for i in range(DEPLOYMENTS))],
        "routes": ["routes:", *(f"  r{i}: {{try: [{_tries(i)}]}}" for i in range(ROUTES))],
        "teams": ["teams:", *(_team(i) for i in range(TEAMS))],
    }
    return {f"{name}.yaml": ("\n".join(lines) + "\n").encode() for name, lines in parts.items()}


def _tries(i: int) -> str:
    return ", ".join(dict.fromkeys(f"d{step % DEPLOYMENTS}" for step in (i, i * 7 + 3, i * 11 + 5)))


def _team(i: int) -> str:
    return f"  t{i}: {{apps: {{a{i}: {{data: [k{i}], models: [r{i}, r{i + 1}]}}}}}}"


def _policy(rules: int) -> list[str]:
    lines = ["policy: big", "places: {Canada: [CA], Quebec: [CA-QC], Both: [CA, US]}", "data:"]
    lines += [f"  k{i}: {{found_by: [app, header]}}" for i in range(KINDS)]
    lines.append("rules:")
    for i in range(rules - 1):
        must = (
            f"processed_in: {('Canada', 'Quebec', 'Both')[i % 3]}, stored_in: Both",
            f"keeps_content_days: {{at_most: {i % 60}}}",
            f"vendor: [v{i % 7}, v{(i + 1) % 7}], has: [dpa]",
            "trains_on_data: never, processed_in: Both, or_has: soc2",
        )[i % 4]
        lines += [
            f"  - id: R-{i}",
            f"    says: Rule number {i} says something plain.",
            f"    for: {{data: k{i % KINDS}}}",
            f"    must: {{{must}}}",
            "    strength: hard",
            f'    why: ["basis {i}"]',
        ]
    return [*lines, "  - {id: OK, says: Yes., for: {app: registered}, allow: true}"]


def _facts(i: int) -> list[str]:
    place = PLACES[i % len(PLACES)]
    placed = ("processed_in", "stored_in", "vendor_logs_in", "tls_ends_in")
    return [
        f"  d{i}:",
        f"    vendor: v{i % 7}",
        "    parent_home: US",
        f"    sku: {{kind: azure_standard, resource: r{i}}}",
        *(f"    {fact}: [{place}]" for fact in placed),
        "    staff_access_from: [CA, US]",
        f"    keeps_content_days: {i % 60}",
        "    trains_on_data: never",
        "    human_review: on_abuse_flag",
        "    uses: [chat, embeddings]",
        "    has: {dpa: 2027-09-15, soc2: 2027-03-31}",
        "    seen: 2026-11-02",
        "    recheck_days: 90",
        '    source: "a page"',
        "    max_output_tokens: 8192",
    ]


def seconds(work: Callable[[], object], *, repeats: int = 5) -> float:
    """Return the CPU time of the best of several runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    """Print each figure."""
    written = files(200)
    bundle = bundle_of(written, now=NOW)
    loading = seconds(lambda: bundle_of(written, now=NOW))
    compiling = seconds(lambda: compile_bundle(bundle, now=NOW))
    print(f"load     {loading:8.3f} s   200 rules, {DEPLOYMENTS} deployments, {ROUTES} routes")
    print(f"compile  {compiling:8.3f} s   together {loading + compiling:.3f} s of 0.5 s")

    snapshot = compile_bundle(bundle_of(files(40), now=NOW), now=NOW)
    call = Call(
        id="req_1",
        surface=Surface.CHAT,
        caller=Caller(tenant="t", team="t1", app="a1", key_id="k"),
        model="r1",
        stream=False,
        body={},
        size=2,
        received=NOW,
    )
    labelled = classify(call, (), snapshot, detectors_failed=False)

    def remembered() -> None:
        for _ in range(10_000):
            decide(labelled, snapshot, now=NOW, decision_id="dec_1")

    def afresh() -> None:
        for _ in range(200):
            snapshot.rules.memo.clear()
            decide(labelled, snapshot, now=NOW, decision_id="dec_1")

    print(f"decide   {seconds(remembered) * 100:8.2f} µs  40 rules; asked: 2 µs")
    print(f"judge    {seconds(afresh) * 5_000:8.2f} µs  the same, nothing remembered")


if __name__ == "__main__":
    main()
