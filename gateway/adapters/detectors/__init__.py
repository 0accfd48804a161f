"""Adapters of the Detector port: patterns inline, names by Presidio in child processes, a twin.

``inline`` finds identifiers with :mod:`gateway.core.patterns`; ``presidio`` finds names,
places and organisations in processes of its own; ``layered`` asks each for what it can
find; ``memory`` is the scripted twin. ``presidio_engine`` is the one file that imports
Presidio, and only the child process loads it.
"""
