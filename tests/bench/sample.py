"""Some measurements of one thing: their median, and how far they spread."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

UNITS = (("s", 1.0), ("ms", 1e3), ("µs", 1e6))


@dataclass(frozen=True)
class Sample:
    """Durations in seconds."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half of the range that holds the middle half of the values."""
        if len(self.values) < 2:
            return 0.0
        first, _, third = statistics.quantiles(self.values, n=4, method="inclusive")
        return (third - first) / 2

    def without(self, seconds: float) -> "Sample":
        return Sample([value - seconds for value in self.values])

    def __str__(self) -> str:
        unit, scale = next((one for one in UNITS if abs(self.median) * one[1] >= 1), UNITS[-1])
        return f"{number(self.median * scale)} ± {number(self.spread * scale)} {unit}"


def number(value: float) -> str:
    """With the three digits that can be meant seriously."""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"
