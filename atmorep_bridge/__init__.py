"""The atmosphere over a scene from reanalysis and forecast, met by sifnet in one file.

Nothing is here yet. What is planned writes ``atmosphere.nc``: surface pressure, temperature
offset, water, aerosol optical thickness and height over a scene, each with its uncertainty and
source, which ``sifnet fit --atmosphere`` reads already. sifnet never imports this package.
"""
