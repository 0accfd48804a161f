"""A detector process that misbehaves as its first argument says. Run by tests only."""

from __future__ import annotations

import json
import os
import sys
import time


def send(message: object) -> None:
    body = json.dumps(message).encode()
    sys.stdout.buffer.write(len(body).to_bytes(4, "big") + body)
    sys.stdout.buffer.flush()


def main() -> None:
    how, state = sys.argv[1], sys.argv[2]
    with open(state, "a", encoding="utf-8") as log:  # noqa: PTH123 (a script without imports to spare)
        log.write("start\n")
    if how == "never_ready":
        send({"ready": False, "why": "no model"})
        return
    if how == "silent":
        time.sleep(60)
    send({"ready": True, "environment": sorted(os.environ)})
    while head := sys.stdin.buffer.read(4):
        request = json.loads(sys.stdin.buffer.read(int.from_bytes(head, "big")))
        with open(state, "a", encoding="utf-8") as log:  # noqa: PTH123
            log.write("ask\n")
        text = request["texts"][0][0]
        spans = [[["person", 0, 1, 90]] if asked[0] else [] for asked in request["texts"]]
        if "bad" not in text:
            send({"id": request["id"], "spans": spans})
        elif how == "slow":
            time.sleep(60)
        elif how == "dies":
            os._exit(1)
        elif how == "garbage":
            sys.stdout.buffer.write(b"\x00\x00\x00\x05hello")
            sys.stdout.buffer.flush()
        elif how == "huge":
            sys.stdout.buffer.write(b"\xff\xff\xff\xff")
            sys.stdout.buffer.flush()
        elif how == "other_id":
            send({"id": -1, "spans": spans})
        elif how == "outside":
            send({"id": request["id"], "spans": [[["person", 0, 10_000, 90]]]})
        elif how == "other_kind":
            send({"id": request["id"], "spans": [[["card", 0, 1, 90]]]})
        elif how == "too_few":
            send({"id": request["id"], "spans": []})
        elif how == "not_json_object":
            send([1, 2])


main()
