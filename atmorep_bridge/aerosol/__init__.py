"""Aerosol driven by weather from outside, all of whose products with it count."""
