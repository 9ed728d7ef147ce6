"""Pixels to state: encoder, simulation, losses and the exact finish."""
