"""File formats that more than one sensor or layer shares."""
