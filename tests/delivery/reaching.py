"""Posts through a guarded session, and what stands in their way: names that lead anywhere, addresses that swallow every packet,
certificates that somebody vouches for."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from relay.net.fetch import GuardedSession, Reply
from relay.net.guard import Policy
from relay.net.lookup import Lookup

OPEN = Policy((ipaddress.ip_network("127.0.0.0/8"),))


async def post(session: GuardedSession, url: str, *, timeout: float = 5.0, policy: Policy = OPEN, limit: int = 4096,
               body: bytes = b"{}") -> Reply:
    return await session.post(url, headers={"x-a": "b"}, body=body, timeout=timeout, max_answer_bytes=limit, policy=policy)


def named(name: str, *addresses: str) -> Lookup:
    def look_up(host: str, port: int) -> list[str]:  # noqa: ARG001 -- the shape of a Lookup
        if host != name:
            raise AssertionError(f"{host} was looked up")
        return list(addresses)

    return look_up


async def until(is_so: Callable[[], bool]) -> None:
    """For what tells nobody when it comes; fails after ten seconds."""
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


def open_files() -> int:
    """How many files and sockets this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


@contextlib.contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that answers no packet: so many connections wait there that the system takes no more."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 -- as socket has it
            waiting.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


class Authority:
    """Who vouches for certificates. `pem`: its own, to be trusted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority")])
        usage = x509.KeyUsage(digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
                              key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False)
        certificate = (
            self._certificate(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True).sign(self._key, hashes.SHA256()))
        self.pem = folder / "authority.pem"
        self.pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def vouch_for(self, *names: x509.GeneralName) -> ssl.SSLContext:
        """What a server needs that is reached by one of these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._certificate(x509.Name([]), key).add_extension(x509.SubjectAlternativeName(names), critical=True)
            .sign(self._key, hashes.SHA256()))
        pem = self._folder / "server.pem"
        pem.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False))
