"""Forms: exact numbers as rational linear combinations of atoms {atom: coefficient}; atom 0 is the number 1.

What is not rational, tanh(b) say, becomes an atom named by its operation and the forms it acts on, so equal expressions
are one atom and cancel identically. The empty form is zero. A form that is not empty may still be zero, so only
"identically zero" is ever concluded. A switch `select` at zero is an atom by itself, equal to no other: it has either
of two values, and what does not depend on it, as it stands in a branch that is not taken, is not stopped by it.

A free quantity, a disturbance say, is an atom too, and what is concluded holds for all its values. An atom is one
number: that an expression is defined (no division by a form that happens to be zero), that no switch which matters is
at zero and no `floor` at a whole number, where they have two values, is for the enclosures around the state to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import isqrt

Form = Mapping[int, Fraction]
ZERO: Form = {}
UNIT = Fraction(1)
MAX_BITS = 2**14
MAX_TERMS = 2_000_000
ONE: Form = {0: UNIT}
AT_ZERO = {"cos": ONE, "exp": ONE, **dict.fromkeys(("sin", "tanh", "atan", "erf"), ZERO)}


class Undetermined(Exception):
    """The exact evaluation has no answer; the message says where it stopped."""


def rational(form: Form) -> Fraction | None:
    """The value of a form that is a number, None for others."""
    return Fraction(0) if not form else form[0] if len(form) == 1 and 0 in form else None


class Algebra:
    """Forms over a growing table of atoms, with bounded work."""

    def __init__(self) -> None:
        self.atoms: dict[tuple[object, ...], int] = {("one",): 0}
        self.terms = 0
        self.open: set[int] = set()

    def count(self, terms: int, value: Fraction = UNIT) -> None:
        """Bound the number of terms and the length of their coefficients."""
        self.terms += terms
        if self.terms > MAX_TERMS or value.numerator.bit_length() + value.denominator.bit_length() > MAX_BITS:
            raise Undetermined("the exact evaluation is too large for this checker")

    def atom(self, name: str, *forms: Form) -> Form:
        """The atom of an operation on forms."""
        self.count(sum(map(len, forms)))
        key = (name, *(tuple(sorted(form.items())) for form in forms))
        number = self.atoms.setdefault(key, len(self.atoms))
        if not all(map(self.open.isdisjoint, forms)):
            self.open.add(number)
        return {number: UNIT}

    def free(self, number: int) -> Form:
        """The atom of a quantity that may have any value: a disturbance, by its number."""
        return self.atom(f"free {number}")

    def combination(self, *terms: tuple[Fraction | int, Form]) -> Form:
        """Sum of coefficient times form."""
        result: dict[int, Fraction] = {}
        for weight, form in terms:
            for atom, value in form.items() if weight else ():
                result[atom] = result.get(atom, Fraction(0)) + weight * value
                self.count(1, result[atom])
        return {atom: value for atom, value in result.items() if value}

    def product(self, a: Form, b: Form) -> Form:
        """a b: zero times anything is zero, a rational scales, the rest is an atom."""
        for one, other in ((a, b), (b, a)):
            scale = rational(one)
            if scale is not None:
                return self.combination((scale, other))
        return self.atom("mul", *sorted((a, b), key=lambda form: sorted(form.items())))

    def power(self, a: Form, p: int) -> Form:
        """a^p, p >= 1."""
        return a if p == 1 else self.product(self.power(a, p - 1), a)

    def reciprocal(self, a: Form) -> Form:
        """1 / a."""
        value = rational(a)
        if value == 0:
            raise Undetermined("a division by zero")
        return self.atom("reciprocal", a) if value is None else {0: 1 / value}

    def elementary(self, name: str, a: Form) -> Form:
        """sin, cos, tanh, atan, erf, exp, softplus, ...: rational at zero for some, otherwise an atom."""
        return self.atom(name, a) if a or name not in AT_ZERO else AT_ZERO[name]

    def log(self, a: Form) -> Form:
        """ln a."""
        value = rational(a)
        if value is not None and value <= 0:
            raise Undetermined("a logarithm of a number that is not positive")
        return ZERO if value == 1 else self.atom("log", a)

    def sqrt(self, a: Form) -> Form:
        """The root of a, rational where a is the square of a rational."""
        value = rational(a)
        if value is None:
            return self.atom("sqrt", a)
        if value < 0:
            raise Undetermined("a root of a negative number")
        root = Fraction(isqrt(value.numerator), isqrt(value.denominator))
        return self.combination((root, ONE)) if root * root == value else self.atom("sqrt", a)

    def norm(self, x: Sequence[Form]) -> Form:
        """Euclidean norm."""
        return self.sqrt(self.combination(*((1, self.product(a, a)) for a in x)))

    def select(self, x: Sequence[Form]) -> Form:
        """x[1] or x[2] by the sign of x[0]; where that is zero an open atom of its own."""
        sign = rational(x[0])
        if sign or x[1] == x[2]:
            return x[1] if sign is None or sign >= 0 else x[2]
        if sign == 0:
            self.open.add(len(self.atoms))
            return self.atom(f"either {len(self.atoms)}", *x[1:])
        return self.atom("select", *x)

    def closed(self, forms: Sequence[Form]) -> None:
        """Refuse forms that depend on a switch at zero."""
        if not all(map(self.open.isdisjoint, forms)):
            raise Undetermined("a switch ('select') between two values is at zero")

    def floor(self, a: Form) -> Form:
        """The greatest whole number below a."""
        value = rational(a)
        if value is None:
            return self.atom("floor", a)
        if value.denominator == 1:
            raise Undetermined("a rounding ('floor') is at a jump")
        return self.combination((value.numerator // value.denominator, ONE))
