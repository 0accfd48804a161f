"""Reports: one query gives rows, one function gives them a head and a foot, renderers write them.

Nothing here rounds but the last step, which shares cents by largest remainder.
"""
