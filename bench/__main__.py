"""``python -m bench``: the benchmarks."""

from bench.run import main

main()
