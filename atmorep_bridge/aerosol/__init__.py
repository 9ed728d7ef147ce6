"""Aerosol driven by weather from outside, which meets it by bilinear pooling."""
