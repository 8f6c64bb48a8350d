"""Speed and memory against the plain formulation, in one run: python -m benchmarks.<name>."""

import support  # noqa: F401  (before torch: support.threads)
