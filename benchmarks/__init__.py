"""Speed and memory against the plain formulation, in one run: python -m benchmarks.<name>."""
