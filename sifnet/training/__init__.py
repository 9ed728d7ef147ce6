"""Fitting and pre-training; the only room that knows Lightning."""
