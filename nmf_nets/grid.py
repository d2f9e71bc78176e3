"""When to look: often at first, seldom later."""


class GeometricGrid:
    """1, 2, 3, … , each number the next integer after `growth` times the one before."""

    def __init__(self, growth: float):
        self.growth = growth
        self._numbers = {1}
        self._last = 1

    def __contains__(self, number: int) -> bool:
        while self._last < number:
            self._last = max(self._last + 1, int(self._last * self.growth))
            self._numbers.add(self._last)
        return number in self._numbers
