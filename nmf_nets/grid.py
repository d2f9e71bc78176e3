"""When to look: often at first, seldom later."""

from bisect import bisect_right


class GeometricGrid:
    """1, 2, 3, … , each number the next integer after `growth` times the one before."""

    def __init__(self, growth: float):
        self.growth = growth
        self._numbers = [1]

    def after(self, number: int) -> int:
        """The first number of the grid above this one."""
        while self._numbers[-1] <= number:
            last = self._numbers[-1]
            self._numbers.append(max(last + 1, int(last * self.growth)))
        return self._numbers[bisect_right(self._numbers, number)]

    def __contains__(self, number: int) -> bool:
        return self.after(number - 1) == number
