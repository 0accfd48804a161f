"""How often the ranges of the forecast hold, and how often an ordinary day is called an anomaly.

Synthetic daily spend with a fixed seed: weekday pattern, log-normal noise, trend, shifts of level.
Run: ``python -m bench.forecasts [series]``. The figures stand in docs/explanation/decisions/0022.
"""

from __future__ import annotations

import math
import random
import sys

from gateway.core import anomalies, forecast
from gateway.core.money import NANO

WEEK = (1.15, 1.2, 1.2, 1.15, 1.05, 0.6, 0.65)


def series(chance, kind, days):
    """Daily spend in nano-units of a kind of team."""
    level = 100 * math.exp(chance.gauss(0, 1))
    noise = {"calm": 0.1, "usual": 0.3, "wild": 0.7}.get(kind, 0.3)
    shift = chance.randrange(days // 4, days) if kind == "shift" else None
    found = []
    for day in range(days):
        value = level * WEEK[day % 7] * math.exp(chance.gauss(0, noise) - noise * noise / 2)
        if kind == "trend":
            value *= 1 + 0.01 * day
        if kind == "drift":
            level *= math.exp(chance.gauss(0, 0.05))
        if shift is not None and day >= shift:
            value *= 1.6
        if kind == "bursts" and chance.random() < 0.04:
            value *= 5
        if kind == "flat":
            value = level
        found.append(round(value * NANO))
    return found


KINDS = ("flat", "calm", "usual", "wild", "trend", "drift", "shift", "bursts")


def coverage(count):
    print("month-end forecast on day 10 of 30, after 56 days; % of series within the range")
    print(f"{'kind':8} {'80 %':>6} {'95 %':>6} {'error':>7} {'width':>7}")
    total = [0, 0, 0]
    for kind in KINDS:
        chance = random.Random(f"forecast/{kind}")
        held = [0, 0]
        errors, widths = [], []
        for _ in range(count):
            days = series(chance, kind, 56 + 30)
            past, month = days[: 56 + 9], days[56:]
            found = forecast.month_end(past, weekday=0, spent=sum(month[:9]), today=0, days_left=20)
            actual = sum(month)
            held[0] += found.low_80 <= actual <= found.high_80
            held[1] += found.low_95 <= actual <= found.high_95
            errors.append(abs(found.point - actual) / actual)
            widths.append((found.high_80 - found.low_80) / actual)
        total = [total[0] + held[0], total[1] + held[1], total[2] + count]
        median = sorted(errors)[count // 2], sorted(widths)[count // 2]
        shares = [100 * one / count for one in held]
        print(f"{kind:8} {shares[0]:6.1f} {shares[1]:6.1f} {median[0]:7.1%} {median[1]:7.1%}")
    print(f"{'all':8} {100 * total[0] / total[2]:6.1f} {100 * total[1] / total[2]:6.1f}")


def alarms(count):
    print("\nanomalies: days called one, per 1000 days; and a day at five times its usual, found")
    for kind in KINDS:
        chance = random.Random(f"alarm/{kind}")
        false = days_seen = found = 0
        for _ in range(count):
            days = [
                {"m": anomalies.Usage(calls=1, tokens=1, nano=nano)} for nano in series(chance, kind, 56 + 28)
            ]
            for at in range(56, len(days)):
                days_seen += 1
                false += anomalies.judge(days[:at], days[at], least_nano=5 * NANO) is not None
            last = days[-1]["m"]
            five = {"m": anomalies.Usage(calls=5, tokens=5, nano=last.nano * 5)}
            found += anomalies.judge(days[:-1], five, least_nano=5 * NANO) is not None
        print(f"{kind:8} {1000 * false / days_seen:7.2f} false   {100 * found / count:5.1f} % found")


if __name__ == "__main__":
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    coverage(many)
    alarms(max(20, many // 5))
