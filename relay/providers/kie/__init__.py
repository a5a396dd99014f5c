"""Kie.ai, Flux Kontext: asynchronous, with callbacks and a query."""
