"""One moment ends all waiting of a block, however a server spreads its bytes."""

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from pipelines.deadlines import hold, seconds_left, within
from tests.dripping import DRIPS, dripping


@pytest.mark.parametrize("kind", DRIPS)
def test_a_dripping_server_is_cut_at_the_deadline(kind):
    session = hold(requests.Session())
    began = time.monotonic()

    with dripping(kind) as address, pytest.raises(requests.RequestException), within(0.4):
        session.get(address, timeout=5.0)

    assert 0.3 < time.monotonic() - began < 1.0


def test_a_slow_tls_handshake_is_cut_at_the_deadline():
    session = hold(requests.Session())
    began = time.monotonic()

    with dripping("the headers") as address, pytest.raises(requests.RequestException), within(0.4):
        session.get(address.replace("http:", "https:"), timeout=5.0)

    assert time.monotonic() - began < 1.0


def test_a_dripping_answer_over_tls_is_cut_at_the_deadline(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*_certificate(tmp_path))
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(65_536)
            while True:
                connection.sendall(b"H")
                time.sleep(0.05)

    threading.Thread(target=serve, daemon=True).start()
    session = hold(requests.Session())
    began = time.monotonic()

    with pytest.raises(requests.RequestException), within(0.6):
        session.get(f"https://127.0.0.1:{listener.getsockname()[1]}", timeout=5.0, verify=str(tmp_path / "cert.pem"))

    listener.close()
    assert 0.5 < time.monotonic() - began < 1.2


def test_an_answer_larger_than_allowed_is_cut():
    session = hold(requests.Session())
    began = time.monotonic()

    with dripping("the body", every_s=0.0) as address, pytest.raises(requests.RequestException), within(5.0, 500):
        session.get(address)

    assert time.monotonic() - began < 2.0


def test_an_inner_deadline_never_outlasts_an_outer_one():
    with within(0.5), within(60.0):
        left = seconds_left()

    assert left is not None
    assert left <= 0.5
    assert seconds_left() is None


def test_a_connection_kept_from_a_short_call_has_time_for_the_next():
    asked_by = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version, wbufsize = "HTTP/1.1", -1

        def do_GET(self) -> None:
            time.sleep(0.4 if asked_by else 0.0)
            asked_by.append(self.client_address)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *what) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address, session = f"http://127.0.0.1:{server.server_address[1]}", hold(requests.Session())
    with within(0.3):
        session.get(address, timeout=5.0)

    with within(5.0):
        answer = session.get(address, timeout=5.0)

    server.shutdown()
    server.server_close()
    assert answer.status_code == 204
    assert len(set(asked_by)) == 1


def _certificate(folder):
    """Of 127.0.0.1, signed by itself, good for an hour."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"
