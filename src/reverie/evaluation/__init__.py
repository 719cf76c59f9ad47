"""From a run and a data set to its scores: what is generated, what it is compared with, by which network, and where the
results are written. The formulas are in `reverie.metrics`, which methods use too; this package uses methods."""
