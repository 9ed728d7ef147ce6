"""Products against truth, against other methods, and against the least possible error."""
