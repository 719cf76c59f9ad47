"""One file a paper. The folder is the registry: a file here is a method, and `reverie.list_methods()` lists them."""
