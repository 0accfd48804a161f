"""The translator's process as the gateway sees it: it may hang, garble, die or not start."""

from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.upstreams import litellm_process
from gateway.adapters.upstreams.litellm_process import Process, TranslatorDown

ECHO = """
import json, struct, sys, time
read, write = sys.stdin.buffer, sys.stdout.buffer
def put(said):
    data = json.dumps(said).encode()
    write.write(struct.pack(">I", len(data)) + data)
    write.flush()
put({"ready": True})
while len(head := read.read(4)) == 4:
    asked = json.loads(read.read(struct.unpack(">I", head)[0]))
    match asked["op"]:
        case "hang": time.sleep(60)
        case "die": sys.exit(1)
        case "garble":
            write.write(b"<html>" * 9)
            write.flush()
        case _: put({"id": asked.get("id"), "ok": asked})
"""


@pytest.fixture
async def process(tmp_path, monkeypatch):
    """A process whose child is a small stand-in that misbehaves on demand."""
    (tmp_path / "stand_in.py").write_text(ECHO)
    monkeypatch.setattr(litellm_process, "MODULE", "stand_in")
    monkeypatch.setattr(litellm_process, "ENVIRONMENT", {"PYTHONPATH": str(tmp_path)})
    made = Process(start_timeout_s=20, answer_timeout_s=0.5)
    yield made
    await made.close()


async def test_it_starts_with_the_first_question(process):
    """Nothing runs before, one process answers all."""
    assert process.generation == 0
    answers = await asyncio.gather(*(process.ask("echo", number=n) for n in range(20)))
    assert [answer["ok"]["number"] for answer in answers] == list(range(20))
    assert process.generation == 1


@pytest.mark.parametrize("fate", ["hang", "die", "garble"])
async def test_it_is_started_again(process, fate):
    """What was asked fails, the next question is answered by another process."""
    await process.ask("echo")
    with pytest.raises(TranslatorDown):
        await process.ask(fate)
    assert (await process.ask("echo", word="é"))["ok"]["word"] == "é"
    assert process.generation == 2


async def test_who_waits_beside_a_death_is_told(process):
    """No question waits for ever."""
    await process.ask("echo")
    both = await asyncio.gather(process.ask("die"), process.ask("echo"), return_exceptions=True)
    assert isinstance(both[0], TranslatorDown)


async def test_telling_needs_no_answer(process):
    """And is no trouble when nothing runs."""
    process.tell("echo")
    await process.ask("echo")
    process.tell("echo")
    assert (await process.ask("echo", n=1))["ok"]["n"] == 1


async def test_one_that_cannot_start(monkeypatch):
    """The extra is not installed: a plain failure, no hang."""
    monkeypatch.setattr(litellm_process, "MODULE", "no_such_module")
    process = Process(start_timeout_s=20)
    with pytest.raises(TranslatorDown, match="install the extra"):
        await process.ask("echo")
    await process.close()


async def test_cancelling_a_question_leaves_the_process(process):
    """A caller that goes away does not cost the others their translator."""
    await process.ask("echo")
    task = asyncio.ensure_future(process.ask("hang"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait({task})
    assert process.generation == 1
