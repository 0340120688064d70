"""Speed and memory, measured part by part: `python -m scripts.bench` (`make bench`)."""
