"""Secrets that must be stored to be used again (those that sign, those that subscribers gave us), encrypted at rest.

Fernet from the cryptography package: authenticated, versioned, and made for rotation. The keys are derived from
RELAY_SECRET_KEYS; the newest encrypts, all of them decrypt. What an older one encrypted is encrypted anew at start (see
delivery.resealing), so that the older one can be taken away.
"""

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from relay.errors import RelayError


class SecretLost(RelayError):
    """A stored secret was encrypted with a key that is no longer among RELAY_SECRET_KEYS."""


class Vault:
    """Opens and closes stored secrets. `keys`: 32 bytes each, newest first (see signing.derive_key, purpose `vault`)."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        fernets = [Fernet(base64.urlsafe_b64encode(key)) for key in keys]
        self._newest = fernets[0]
        self._fernet = MultiFernet(fernets)

    def seal(self, secret: str) -> str:
        return self._fernet.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """Raises SecretLost."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as exc:
            raise SecretLost from exc

    def reseal(self, sealed: str) -> str | None:
        """The same secret sealed with the newest key; None if it is so already. Raises SecretLost."""
        try:
            self._newest.decrypt(sealed.encode())
        except InvalidToken:
            return self._rotate(sealed)
        return None

    def _rotate(self, sealed: str) -> str:
        try:
            return self._fernet.rotate(sealed.encode()).decode()
        except InvalidToken as exc:
            raise SecretLost from exc
