"""Stored secrets."""

import pytest

from relay.signing import derive_key
from relay.vault import SecretLost, Vault

OLD, NEW = derive_key("o" * 32, "vault"), derive_key("n" * 32, "vault")


@pytest.mark.parametrize("secret", ["", "whsec_abc", "größe \N{OLD KEY}", "x" * 10_000])
def test_what_is_sealed_opens_again(secret: str) -> None:
    vault = Vault([NEW])
    sealed = vault.seal(secret)
    assert vault.open(sealed) == secret
    assert not secret or secret not in sealed


def test_sealing_the_same_secret_twice_does_not_show() -> None:
    vault = Vault([NEW])
    assert vault.seal("secret") != vault.seal("secret")


def test_an_older_key_still_opens_and_the_newest_seals() -> None:
    sealed = Vault([OLD]).seal("secret")
    both = Vault([NEW, OLD])
    assert both.open(sealed) == "secret"
    assert Vault([NEW]).open(both.seal("secret")) == "secret"


def test_a_secret_of_a_retired_key_is_lost() -> None:
    with pytest.raises(SecretLost, match="no longer among RELAY_SECRET_KEYS"):
        Vault([NEW]).open(Vault([OLD]).seal("secret"))


def test_what_an_older_key_sealed_is_sealed_anew_once() -> None:
    both = Vault([NEW, OLD])
    resealed = both.reseal(Vault([OLD]).seal("secret"))
    assert resealed is not None
    assert Vault([NEW]).open(resealed) == "secret"
    assert both.reseal(resealed) is None


def test_what_a_retired_key_sealed_cannot_be_sealed_anew() -> None:
    with pytest.raises(SecretLost):
        Vault([NEW]).reseal(Vault([OLD]).seal("secret"))


@pytest.mark.parametrize("sealed", ["", "nonsense", "gAAAAA", "ü"])
def test_what_was_never_sealed_is_lost_too(sealed: str) -> None:
    with pytest.raises(SecretLost):
        Vault([NEW]).open(sealed)


def test_what_was_changed_does_not_open() -> None:
    sealed = Vault([NEW]).seal("secret")
    middle = len(sealed) // 2
    forged = sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1:]
    with pytest.raises(SecretLost):
        Vault([NEW]).open(forged)
