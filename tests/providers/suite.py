"""What the suites over all providers share."""

import importlib
import pkgutil
from collections.abc import Awaitable
from typing import Any

import pytest

import tests.providers.cases
from relay.errors import ProviderError
from relay.model import Update
from relay.ports.provider import CallbackTarget, Provider, ProviderConfig
from relay.providers import PROVIDERS
from tests.providers.cases import CALLBACK_URL, KEY, NOW, SECRET, Case, Refused

CASES: list[Case] = [
    importlib.import_module(f"tests.providers.cases.{module.name}").CASE for module in pkgutil.iter_modules(tests.providers.cases.__path__)
]
TARGET = CallbackTarget(url=CALLBACK_URL, secret=SECRET)

of_each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def each(kind: str) -> pytest.MarkDecorator:
    """One test for each entry of that tuple of each case."""
    return pytest.mark.parametrize(("case", "entry"), [
        pytest.param(case, entry, id=f"{case.name}-{entry.id}") for case in CASES for entry in getattr(case, kind)
    ])


def make(case: Case, url: str = "http://127.0.0.1:9", *, key: str | None = KEY, timeout: float = 5.0, **config: Any) -> Provider:
    """The provider of a case, at a base URL (by default one where nobody listens)."""
    settings = ProviderConfig(api_key=key, base_url=url, timeout=timeout, **config)
    return PROVIDERS[case.name](settings, user_agent="relay/test", clock=lambda: NOW)


async def submit(provider: Provider, case: Case) -> Update | ProviderError:
    """What comes of submitting the first sample of a case."""
    return await outcome_of(provider.submit(case.submissions[0].task, image=None, callback=TARGET))


async def refused_submit(provider: Provider, case: Case) -> ProviderError:
    """The error in which submitting the first sample of a case must end."""
    outcome = await submit(provider, case)
    assert isinstance(outcome, ProviderError), outcome
    return outcome


async def outcome_of(asking: Awaitable[Update]) -> Update | ProviderError:
    """What came of it; anything but these two is raised."""
    try:
        return await asking
    except ProviderError as exc:
        return exc


def assert_outcome(outcome: Update | ProviderError, expected: Update | Refused) -> None:
    if isinstance(expected, Refused):
        assert isinstance(outcome, ProviderError), outcome
        assert (outcome.reason, outcome.fate) == (expected.reason, expected.fate)
        assert expected.words in outcome.message
    else:
        assert outcome == expected
