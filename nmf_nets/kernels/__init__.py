"""The few inner loops that are compiled; each has a plain torch twin that does the same on any device."""
