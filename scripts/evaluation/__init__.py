"""How good is it: object matching, FROC, IoU, statistics. Definitions in prose: docs/metrics.md."""
