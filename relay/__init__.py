"""Relay: one webhook for every Flux image API."""

__version__ = "0.1.0"
