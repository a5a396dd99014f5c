"""Measurements, made by hand: `python -m tests.bench [SCENARIO…] [--short]`. They tell figures beside goals and fail nothing: a machine
that is busy with other things gives other figures."""
