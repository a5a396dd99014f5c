"""Measurements, made by hand: `python -m tests.bench NAME`. They tell figures and judge nothing: a machine that is busy with other
things gives other figures."""
