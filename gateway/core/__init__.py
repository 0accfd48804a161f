"""The pure core: values in, values out.

Nothing here does input or output, reads a clock or an environment variable, or
imports a framework. Time and identifiers are arguments. import-linter and the
lints in ``tests/repo`` hold it to that.
"""
