"""The atmosphere over a scene from reanalysis and forecast, met by sifnet in one file.

:mod:`fields` opens what weather services deliver, :mod:`columns` turns levels into a column of
air, :mod:`colocate` brings it to a scene's place, time and elevation. The result is
``atmosphere.nc``: surface pressure, temperature offset, water and aerosol, each with its
uncertainty and source, which ``sifnet fit --atmosphere`` reads. sifnet never imports this package.
"""
