"""`python -m reverie` is `reverie`."""

from reverie.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
