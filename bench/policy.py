"""What the policy room costs at its largest: proofs, a replay, a diff.

    python -m bench.policy

500 routes × 512 deployments × 40 labels and as many rules; 100,000 recorded decisions. CPU time, the best of
several runs, as everything that disturbs a measurement makes it longer.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from gateway.adapters.store_sql import Store, decisions
from gateway.adapters.store_sql.schema import migrate
from gateway.adapters.store_sql.tables import records
from gateway.policy.compile import compile_bundle
from gateway.policy.diff import difference
from gateway.policy.load import bundle_of
from gateway.policy.prove import prove
from gateway.policy.recorded import recorded_of
from gateway.policy.replay import replay

NOW = 1_795_392_000 * 1_000_000_000
ROUTES, DEPLOYMENTS, LABELS, APPS, RECORDS = 500, 512, 40, 60, 100_000
PLACES = (["CA-QC"], ["CA-ON"], ["US"], ["FR"], ["CA-QC", "US"])


def files() -> dict[str, bytes]:
    """Return a bundle of that size. Each label has its rule, and a sentence to prove."""
    names = [f"d{i}" for i in range(DEPLOYMENTS)]
    facts = {
        name: {
            "vendor": f"v{i % 7}", "processed_in": PLACES[i % 5], "stored_in": PLACES[i % 5],
            "uses": ["chat", "embeddings"], "seen": "2026-11-02", "recheck_days": 30 + i % 60,
            "trains_on_data": "never" if i % 3 else "opt_out",
        }
        for i, name in enumerate(names)
    }  # fmt: skip
    rules = [
        {"id": f"R{i}", "says": "s", "for": {"data": [f"l{i}"]}, "must": {"processed_in": ["Canada"]}}
        for i in range(LABELS - 1)
    ]
    rules.append({"id": "OK", "says": "s", "for": {"use": ["chat", "embeddings"]}, "allow": True})
    data = {f"l{i}": {"found_by": ["app", "header"]} for i in range(LABELS)}
    routes = {
        f"m{i}": {"try": list(dict.fromkeys(names[(i * step + step) % DEPLOYMENTS] for step in (1, 3, 7)))}
        for i in range(ROUTES)
    }
    apps = {
        f"a{i}": {"data": [f"l{i % LABELS}"], "models": [f"m{j}" for j in range(i % 10, ROUTES, 10)]}
        for i in range(APPS)
    }
    connections = {name: {"api": "openai", "url": "https://a.example.com/v1", "model": "m"} for name in names}
    whole = {
        "policy.yaml": {
            "policy": "big", "places": {"Canada": ["CA"]}, "data": data, "rules": rules,
            "prove": [f"l{i} data never reaches a deployment outside Canada." for i in range(LABELS - 1)],
        },
        "deployments.yaml": {"deployments": facts},
        "connections.yaml": {"connections": connections},
        "routes.yaml": {"routes": routes},
        "teams.yaml": {"teams": {"t": {"apps": apps}}},
    }  # fmt: skip
    return {name: orjson.dumps(value) for name, value in whole.items()}


def timed(what: str, work: Callable[[], object], note: str = "", runs: int = 5) -> None:
    """Print the best time of several runs."""
    best = float("inf")
    for _ in range(runs):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    print(f"{what:44}{best * 1e3:10.1f} ms  {note}")


def fill(folder: Path) -> Store:
    """Return a store with the records of a month."""
    store = Store(f"sqlite:///{folder / 'bench.db'}")
    migrate(store)
    rows = [
        {
            "call_id": f"r{i}", "writer": "w", "seq": i, "tenant": "big", "team": "t", "app": f"a{i % APPS}",
            "key_id": "k", "surface": "chat", "asked": f"m{i % 50}", "alias": f"m{i % 50}", "stream": False,
            "received_us": NOW // 1000 + i, "ended_us": 0, "outcome": "served", "status": 200,
            "decision": f"dec_{i}", "rules": "[]", "features": "[]", "masked_reply": "{}", "attempts": 1,
            "labels": f'[{{"name":"l{i % APPS % LABELS}","set_by":"app a{i % APPS}"}}]',
            "masked": f'{{"email":{i % 3}}}', "snapshot": "s", "use": None,
        }
        for i in range(RECORDS)
    ]  # fmt: skip
    with store.write() as connection:
        connection.execute(records.insert(), rows)
    return store


def main() -> None:
    """Print each figure."""
    raw = files()
    bundle = bundle_of(raw, now=NOW)
    snapshot = compile_bundle(bundle, now=NOW)
    proofs = prove(bundle, snapshot, now=NOW)
    paths = sum(proof.paths for proof in proofs)
    timed(
        "prove every sentence",
        lambda: prove(bundle, snapshot, now=NOW),
        f"{len(proofs)} sentences, {paths:,} paths, {sum(not p.holds for p in proofs)} broken",
    )
    rules = raw["policy.yaml"].replace(b'"processed_in":["Canada"]', b'"processed_in":["CA-QC"]', 1)
    other = compile_bundle(bundle_of({**raw, "policy.yaml": rules}, now=NOW), now=NOW)
    change = difference(snapshot, other, now=NOW)
    timed("diff", lambda: difference(snapshot, other, now=NOW), f"{len(change.changes)} changes", runs=2)
    with tempfile.TemporaryDirectory() as folder:
        store = fill(Path(folder))

        def again() -> object:
            with store.read() as connection:
                groups = decisions.groups(connection, "big", start_us=0, end_us=2**60)
                return replay(
                    ((recorded_of(row), count) for row, count in groups), other, now=NOW, before=snapshot
                )

        outcome = again()
        timed("replay", again, f"{outcome.changed:,} of {outcome.calls:,} would change", runs=2)
        store.close()


if __name__ == "__main__":
    main()
