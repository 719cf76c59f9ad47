"""One file a paper: the folder is the registry, a file is a method."""
