"""Is this webhook from Relay? Python 3.9 or later, nothing else; `v1a` alone needs the package cryptography.

KEY=whsec_… python3 verify.py ID TIMESTAMP SIGNATURES < body
"""

import base64
import hashlib
import hmac
import os
import re
import sys
import time

TOLERANCE = 300  # seconds


def verify(key, headers, body):
    """Whether one of the signatures in `headers` (names in lower case) is of `key` and no older than five minutes. `key`: the secret
    (whsec_…) or the public key (whpk_…). `body`: the bytes as they came, before any JSON parser."""
    message_id, timestamp, signatures = (headers.get(f"webhook-{name}") or "" for name in ("id", "timestamp", "signature"))
    if not message_id or not re.fullmatch("[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    content = f"{message_id}.{timestamp}.".encode() + body
    check = is_signed_by_pair if key.startswith("whpk_") else is_signed_by_secret
    return any(check(key, signature, content) for signature in signatures.split(" "))


def is_signed_by_secret(secret, signature, content):
    digest = hmac.new(base64.b64decode(secret[len("whsec_"):]), content, hashlib.sha256).digest()
    return hmac.compare_digest(b"v1," + base64.b64encode(digest), signature.encode())


def is_signed_by_pair(public_key, signature, content):
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    version, _, encoded = signature.partition(",")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key[len("whpk_"):]))
    try:
        key.verify(base64.b64decode(encoded), content)
    except (InvalidSignature, ValueError):
        return False
    return version == "v1a"


if __name__ == "__main__":
    given = dict(zip(("webhook-id", "webhook-timestamp", "webhook-signature"), sys.argv[1:]))
    sys.exit(0 if verify(os.environ["KEY"], given, sys.stdin.buffer.read()) else "refused")
