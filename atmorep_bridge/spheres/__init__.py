"""Ocean, ice, aerosol, air: monthly variables of any grid, forecast together for seasons."""
