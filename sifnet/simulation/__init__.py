"""Scenes with known truth by full radiative transfer, in their sensors' own formats."""
