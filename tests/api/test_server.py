"""Processes: started, drained, reloaded, replaced, over TLS; each with real signals."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.api.server import bind
from gateway.settings import Settings
from tests.api.serving import FACTORY, call, connect, read_reply, read_to_end, request, serving, until

CODE = f"""
import sys
from pathlib import Path
from gateway.api.server import run
from gateway.settings import Settings

if __name__ == "__main__":
    listen, folder, workers, drain_s = sys.argv[1:]
    settings = Settings(listen=listen, data_dir=Path(folder), workers=int(workers), drain_s=int(drain_s))
    sys.exit(run(settings, "{FACTORY}"))
"""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Running:
    """A server in a process of its own."""

    def __init__(self, tmp_path, *, workers=1, drain_s=3):
        self.port = free_port()
        script = tmp_path / "serve_under_test.py"
        script.write_text(CODE)
        args = [str(script), f"127.0.0.1:{self.port}", str(tmp_path), str(workers), str(drain_s)]
        self.process = subprocess.Popen(
            [sys.executable, *args], stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(Path.cwd())}
        )

    def answers(self):
        assert self.process.poll() is None, self.process.stderr.read()
        try:
            return call(self.port, "/readyz")[0] == 200
        except (OSError, AssertionError):
            return False

    def send(self, sig):
        self.process.send_signal(sig)

    def end(self):
        """Wait for the process; returns (exit status, its log)."""
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, log.decode()


@pytest.fixture
def running(tmp_path):
    started = []

    def start(**kwargs):
        started.append(Running(tmp_path, **kwargs))
        until(started[-1].answers, 30)
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def test_sigterm_lets_calls_finish_and_takes_no_new_ones(running):
    """A call in flight at SIGTERM gets its whole reply; /readyz says 503; a new connection is refused."""
    server = running()
    with connect(server.port) as busy, connect(server.port) as kept:
        kept.sendall(request("/small"))
        read_reply(kept)
        busy.sendall(request("/late?1.5"))
        call(server.port, "/readyz")  # the loop has turned: the late call is in flight
        server.send(signal.SIGTERM)
        until(lambda: refused(server.port))
        kept.sendall(request("/readyz"))
        status, headers, _ = read_reply(kept)
        assert (status, headers[b"connection"]) == (503, b"close")
        assert read_reply(busy)[2] == b'"late"'
        assert read_to_end(busy) == b""
    assert server.end()[0] == 0


def refused(port):
    try:
        connect(port).close()
    except OSError:
        return True
    return False


def test_a_stream_that_outlasts_the_drain_is_cut_with_a_proper_end(running):
    """At the end of the drain a stream gets its own last event and a whole chunked ending."""
    server = running(drain_s=1)
    with connect(server.port) as sock:
        sock.sendall(request("/stream?100000"))
        sock.recv(1024)
        server.send(signal.SIGTERM)
        reply = read_to_end(sock)
    assert b"data: cut\n\n" in reply
    assert reply.endswith(b"0\r\n\r\n")
    server.end()


def test_a_plain_call_that_outlasts_the_drain_gets_a_503(running):
    """A call that cannot finish is answered, not dropped."""
    server = running(drain_s=1)
    with connect(server.port) as sock:
        sock.sendall(request("/late?60"))
        until(lambda: call(server.port, "/readyz")[0] == 200)
        server.send(signal.SIGTERM)
        status, headers, _ = read_reply(sock)
    assert (status, headers[b"retry-after"]) == (503, b"1")
    server.end()


def test_sighup_reloads_without_a_restart(running):
    """SIGHUP reaches the app and the process goes on."""
    server = running()
    pid = call(server.port, "/pid")[2]
    server.send(signal.SIGHUP)
    until(lambda: call(server.port, "/reloads")[2] == b"1")
    assert call(server.port, "/pid")[2] == pid


def test_what_lives_for_ever_is_kept_from_the_collector(running):
    """Once it serves, a process does not let full collections visit its modules and tables during calls."""
    assert int(call(running().port, "/frozen")[2]) > 10_000


def test_workers_share_the_socket_and_a_dead_one_is_replaced(running):
    """With two workers both serve; one that dies is replaced and calls go on; all end on SIGTERM."""
    server = running(workers=2)
    pids = set()
    until(lambda: pids.add(call(server.port, "/pid")[2]) or len(pids) == 2, 60)
    with connect(server.port) as sock, contextlib.suppress(ConnectionResetError):
        sock.sendall(request("/die"))
        sock.recv(10)
    new = set()

    def replaced():
        # What the dead worker had accepted is reset; what it had not goes to the other one.
        with contextlib.suppress(ConnectionResetError, AssertionError):
            new.add(call(server.port, "/pid")[2])
        return len(new - pids) == 1

    until(replaced, 60)
    server.send(signal.SIGHUP)
    until(lambda: call(server.port, "/reloads")[2] == b"1")
    server.send(signal.SIGTERM)
    status, log = server.end()
    assert status == 0
    assert "worker died" in log
    for pid in new - pids:
        assert not Path(f"/proc/{int(pid)}").exists()


def test_workers_end_when_their_supervisor_is_killed(running):
    """`kill -9` of the supervisor leaves no worker that would go on serving unseen."""
    server = running(workers=2)
    pids = set()
    until(lambda: pids.add(int(call(server.port, "/pid")[2])) or len(pids) == 2, 60)
    server.send(signal.SIGKILL)
    server.process.wait(10)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 20)
    server.process.communicate()


def test_a_factory_that_fails_ends_with_a_status(tmp_path):
    """A server that cannot start says so by its exit status, with one worker and with two."""
    script = tmp_path / "failing.py"
    script.write_text(CODE.replace(FACTORY, "tests.api.app_under_test:no_such_thing"))
    for workers in ("1", "2"):
        args = [sys.executable, str(script), f"127.0.0.1:{free_port()}", str(tmp_path), workers, "1"]
        done = subprocess.run(
            args,
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode != 0


def test_an_address_in_use_is_an_error(tmp_path):
    """Binding does not steal a port that another process listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            bind(Settings(listen=f"127.0.0.1:{taken.getsockname()[1]}", data_dir=tmp_path))


def self_signed(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def test_tls(tmp_path):
    """With a certificate the port speaks TLS 1.2 or newer, and plain HTTP gets nothing from the app."""
    certificate, key = self_signed(tmp_path)
    with serving(tmp_path, tls_certificate=certificate, tls_key=key) as server:
        context = ssl.create_default_context(cafile=certificate)
        with context.wrap_socket(connect(server.port), server_hostname="localhost") as sock:
            sock.sendall(request("/who"))
            assert read_reply(sock)[2].split()[1] == b"https"
            assert sock.version() in {"TLSv1.2", "TLSv1.3"}
        with connect(server.port) as plain:
            plain.sendall(request("/small"))
            with contextlib.suppress(ConnectionResetError):
                assert b"200" not in plain.recv(1024)


def test_a_thread_does_not_install_signal_handlers(tmp_path):
    """A server in a thread leaves the process's own signal handlers alone."""
    before = signal.getsignal(signal.SIGTERM)
    with serving(tmp_path):
        assert threading.current_thread() is threading.main_thread()
        assert signal.getsignal(signal.SIGTERM) is before
