"""The ways in which a stand-in says no; those that only Relay says are never among them."""

from relay.providers.refusal import Refused, Why

__all__ = ["Refused", "Why"]
