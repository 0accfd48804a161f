"""A bundle with a pool of own GPUs, as text."""

# ruff: noqa: E501 (files, rows and sentences stand whole, as people read them)

from __future__ import annotations

POOLS = """pools:
  llama-ca:
    engine: vllm
    deployments: [own-llama]
    region: CA-QC
    gpus_per_replica: 4
    replicas:
      - {name: r1, metrics_url: "https://gpu-1.example.com:8000/metrics"}
      - {name: r2, metrics_url: "https://gpu-2.example.com:8000/metrics", from: 2026-11-10T12:00:00Z}
    rate:
      - {per_gpu_hour: "2.85", currency: USD, basis: amortised, from: 2026-11-01T05:00:00Z, source: lease 4711}
      - {per_gpu_hour: "3.10", currency: USD, basis: on_demand, from: 2026-12-01T05:00:00Z, source: price sheet}
    calibration: {prefill_us: "31.5", decode_us: "42", step_us: "9800.25", source: measured, measured: 2026-11-20}
    idle: {rule: reserved_share, shares: {branch: "3", lab: "0.5"}}
"""

OTHERS = {
    "policy": "policy: maple\n",
    "deployments": """deployments:
  own-llama: {vendor: self, processed_in: [CA-QC], uses: [chat], seen: 2026-11-02, recheck_days: 90}
  vendor-1: {vendor: v, processed_in: [CA-QC], uses: [chat], seen: 2026-11-02, recheck_days: 90}
""",
    "connections": """connections:
  own-llama: {api: openai, url: "https://gpu.example.com/v1", model: llama-3.1-8b}
  vendor-1: {api: openai, url: "https://api.example.com/v1", model: big-1}
""",
    "routes": "routes: {chat: {try: [own-llama]}, big: {try: [vendor-1]}}\n",
    "teams": """org: maple
timezone: America/Toronto
currency: CAD
teams:
  branch:
    cost_centre: [{code: "4410", from: 2026-01-01}]
    apps:
      teller: {data: [], models: [chat, big]}
      advisor: {data: [], models: [chat]}
  lab:
    cost_centre: [{code: "4900", from: 2026-01-01}]
    apps:
      hackathon: {data: [], models: [chat]}
""",
    "fx": 'rates: [{base: USD, quote: CAD, rate: "1.3925", from: 2026-01-01, source: made up}]\n',
    "prices": """- id: own
  deployment: own-llama
  currency: CAD
  meters: {}
  free: true
  valid: {from: 2026-01-01}
  source: paid by time, see pools.yaml
- id: vendor
  deployment: vendor-1
  currency: USD
  meters: {input: "0.44", output: "1.76"}
  valid: {from: 2026-01-01}
  source: made up
""",
}
"""The other files, kind → text."""

FILES = {**OTHERS, "pools": POOLS}
