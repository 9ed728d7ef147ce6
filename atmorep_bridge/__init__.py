"""The atmosphere over a scene from reanalysis and forecast, met by sifnet in one file.

:mod:`fields` opens what weather services deliver, :mod:`air` brings it to a scene's place, time
and elevation; :mod:`core` and :mod:`aerosol` forecast where nothing is delivered yet. The result is
``atmosphere.nc``: surface pressure, temperature offset and aerosol, each with its uncertainty and
source, which ``sifnet fit --atmosphere`` reads. sifnet never imports this package.
"""
