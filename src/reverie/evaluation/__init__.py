"""From a run and a data set to its scores: what is generated, what it is compared with, by which network, and where it
is written. The formulas are in `reverie.scores`, which methods use too; this room is above them and uses methods."""
