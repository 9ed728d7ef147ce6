"""The air over a place: columns, the scene's footprint, and the one maker of ``atmosphere.nc``."""
