"""``python -m bayesgmm`` is the command line."""

from bayesgmm.cli import main

if __name__ == "__main__":
    main()
