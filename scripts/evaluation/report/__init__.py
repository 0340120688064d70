"""The evaluation report: several methods on the same images, as one page. In prose: docs/evaluate.md."""
