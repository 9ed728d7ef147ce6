"""The map: retrieved, labelled, written, pictured, catalogued."""
