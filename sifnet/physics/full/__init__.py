"""Full radiative transfer, line by line: what only the extra ``build`` needs."""
