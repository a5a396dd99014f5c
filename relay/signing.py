"""Everything that is signed: our webhooks, and the capabilities that we hand out.

Webhooks follow Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks, spec): the signed content is
`id.timestamp.body`, the key is what stands base64-encoded behind `whsec_`, the header holds `v1,` + base64 of HMAC-SHA256,
one token for each secret that is in force. Where a subscription asks for it, `v1a,` + base64 of an ed25519 signature over the
same content stands beside or instead of it: whoever reads the public key (`whpk_` + base64 of its 32 bytes) can verify, and nobody
but us can sign. The private key (`whsk_` + base64 of its 32 bytes) never leaves.

Capabilities (callback URLs, image links) are made by itsdangerous with SHA-256, each purpose with keys of its own, derived
from RELAY_SECRET_KEYS. The newest key signs, all of them verify, so a key can be retired once what it signed is over.
"""

import base64
import binascii
import functools
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from itsdangerous import Signer
from itsdangerous.signer import SigningAlgorithm

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 -- the prefix, no secret
_SECRET_BYTES: Final = 32
_PRIVATE_PREFIX: Final = "whsk_"
_PUBLIC_PREFIX: Final = "whpk_"


def derive_key(key: str, purpose: str) -> bytes:
    """32 bytes for one purpose from one of the secret keys, so that what leaks of one purpose is worth nothing in another."""
    return hmac.digest(key.encode(), b"relay:" + purpose.encode(), hashlib.sha256)


@functools.lru_cache(maxsize=1024)
def _keyed(key: bytes) -> "hmac.HMAC":
    return hmac.new(key, digestmod=hashlib.sha256)


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """32 bytes. hmac.digest lets go of the interpreter's lock for each short message, and waits to have it back."""
    mac = _keyed(key).copy()
    mac.update(message)
    return mac.digest()


class _Sha256(SigningAlgorithm):
    """As itsdangerous has it, without making a key ready anew for every signature."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac_sha256(key, value)


class Seal:
    """Signs short ASCII strings for one purpose, and tells whether it did."""

    def __init__(self, keys: Sequence[str], purpose: str) -> None:
        self._keys = [derive_key(key, purpose) for key in keys]  # newest first
        self._signers = [Signer(key, salt=b"", key_derivation="none", algorithm=_Sha256()) for key in self._keys]

    def sign(self, value: str) -> str:
        """`value.signature`, safe in a path segment if the value is."""
        return self._signers[0].sign(value).decode()

    def read(self, token: str) -> str | None:
        """The value of a token that was signed here, else None. Takes the same time for every wrong signature.

        Compared is what would be signed, as it is spelled: base64 leaves bits of its last character unused, and a token that differs in
        those only is not ours.
        """
        try:
            value, dot, signature = token.encode().rpartition(b".")
            for signer in self._signers:
                if hmac.compare_digest(signer.get_signature(value), signature) and dot:
                    return value.decode()
        except UnicodeError:
            pass
        return None

    def secrets_for(self, value: str) -> list[str]:
        """A secret for this value under each key, newest first: known to us and to whom we tell it, and nowhere stored."""
        return [base64.urlsafe_b64encode(hmac_sha256(key, b"secret:" + value.encode())).decode().rstrip("=")
                for key in self._keys]


def new_webhook_secret() -> str:
    """A fresh `whsec_` secret of 32 random bytes, in standard base64 (the url-safe alphabet fails in receivers' libraries)."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def read_webhook_secret(secret: str) -> bytes:
    """The key inside a `whsec_` secret. Raises ValueError, in words for its owner, if it is not `whsec_` + standard base64 of
    24 to 64 bytes."""
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError("must begin with whsec_")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError("must be whsec_ followed by standard base64") from exc
    if not 24 <= len(key) <= 64:
        raise ValueError(f"must hold 24 to 64 bytes, not {len(key)}")
    return key


def new_private_key() -> str:
    """A fresh `whsk_` key for ed25519."""
    return _PRIVATE_PREFIX + base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


def read_private_key(private_key: str) -> bytes:
    """The 32 bytes inside a `whsk_` key that was made here."""
    return base64.b64decode(private_key.removeprefix(_PRIVATE_PREFIX))


def public_key_of(private_key: str) -> str:
    """The `whpk_` key that verifies what this `whsk_` key signs."""
    public = Ed25519PrivateKey.from_private_bytes(read_private_key(private_key)).public_key()
    return _PUBLIC_PREFIX + base64.b64encode(public.public_bytes_raw()).decode()


def webhook_signature(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes, *, private_keys: Sequence[bytes] = ()) -> str:
    """The `webhook-signature` header: one `v1,…` token for each of `keys`, then one `v1a,…` token for each of `private_keys`.
    `timestamp` is that of the attempt, in unix seconds; `body` the very bytes that are sent."""
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    tokens = [b"v1," + base64.b64encode(hmac_sha256(key, content)) for key in keys]
    tokens += [b"v1a," + base64.b64encode(Ed25519PrivateKey.from_private_bytes(key).sign(content)) for key in private_keys]
    return b" ".join(tokens).decode()
