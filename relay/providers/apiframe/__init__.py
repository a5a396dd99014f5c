"""APIFRAME: Flux behind its v1 API, with callbacks."""
