"""The report of a run: one HTML page written from the files of the run folder."""
