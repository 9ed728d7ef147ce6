"""A masked-token model of the atmosphere: one network forecasts, fills in, sharpens and corrects.

After AtmoRep (Lessig et al. 2023, arXiv:2308.13280), small enough for a laptop. :mod:`specs` says
what a model is made for, :mod:`windows` reads a neighbourhood in space and time, :mod:`tokens` cuts
it up, :mod:`masks` hides some of it, :mod:`base` fills that with what a forecaster without a model
would say, :mod:`model` predicts what is missing, and :mod:`tasks` asks it for a forecast.
"""
