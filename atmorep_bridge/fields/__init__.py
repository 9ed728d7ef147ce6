"""Reanalysis files to labelled fields: :func:`opening.open_fields` is the one door."""
