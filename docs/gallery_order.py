"""The order of the gallery's pages: tutorials from the easiest on, all others by name."""

TUTORIALS = ("penguins.py", "galaxies.py", "outliers.py", "noisy_measurements.py", "missing_values.py", "many_rows.py")


def in_order(name: str) -> tuple[int, str]:
    return TUTORIALS.index(name) if name in TUTORIALS else len(TUTORIALS), name
