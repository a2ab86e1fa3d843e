# SPDX-License-Identifier: BSD-2-Clause
#
# What is known of products and quotients. Solvers of bit-vectors can't multiply 64-bit unknowns, so
# to them a product is any number, but for these facts, stated for the products that occur in a claim
# (instances()); the facts are proved here on their own, where multiplication is that of the real
# numbers (solver()).
#
# The real numbers are more than the integers: what holds of all of them holds of bit-vectors that
# don't overflow. Where a fact needs that numbers are whole, the step of 1 is a premise.
import z3


def bv(n):
    return z3.BitVecVal(n, 64)


# --- facts about the products of one claim ---------------------------------------------------------
def low(a):
    return z3.simplify(z3.ZeroExt(32, z3.Extract(31, 0, a)))


def low_signed(a):
    return z3.simplify(z3.SignExt(32, z3.Extract(31, 0, a)))


class Multiplications:
    """Those of a claim, and of their operands' halves, extended either way."""

    def __init__(self, result):
        self.result = result
        for _, a, b in result.of("mul"):
            self.of(low(a), low(b))
            self.of(low_signed(a), low_signed(b))
        self.all = [(a, b) for _, a, b in result.of("mul")]

    def of(self, a, b):
        return self.result.product("mul", a, b)

    def unsigned_fits(self, a, b):
        return z3.Not(self.result.product("umul_overflow", a, b))

    def signed_fits(self, a, b):
        return z3.Not(self.result.product("smul_overflow", a, b))

    def low(self, a, b):
        return z3.Extract(31, 0, self.of(a, b)) == z3.Extract(31, 0, self.of(low(a), low(b)))

    def small(self, a, b):
        small, half = bv(0xFFFFFFFF), bv(0x80000000)
        inside = [z3.And(v >= -half, v < half) for v in (a, b)]
        return z3.And(
            z3.Implies(z3.And(z3.ULE(a, small), z3.ULE(b, small)), self.unsigned_fits(a, b)),
            z3.Implies(z3.And(inside), self.signed_fits(a, b)),
        )

    def monotone(self, a, b, c, d):
        return z3.Implies(
            z3.And(z3.ULE(a, c), z3.ULE(b, d), self.unsigned_fits(c, d)),
            z3.And(self.unsigned_fits(a, b), z3.ULE(self.of(a, b), self.of(c, d))),
        )

    def box(self, x, y, sides):
        left, right, bottom, top = sides
        corners = [(a, b) for a in (left, right) for b in (bottom, top)]
        inside = z3.And(left <= x, x <= right, bottom <= y, y <= top)
        fits = [self.signed_fits(a, b) for a, b in corners]
        product = self.of(x, y)
        return z3.Implies(
            z3.And([inside] + fits),
            z3.And(
                self.signed_fits(x, y),
                z3.Or([self.of(a, b) <= product for a, b in corners]),
                z3.Or([self.of(a, b) >= product for a, b in corners]),
            ),
        )


def boxes(result):
    """The signed ranges of both operands, whole and half."""
    i = result.inputs
    names = (
        ("arg0+16", "arg0+24", "arg1+16", "arg1+24"),
        ("arg0+48/4", "arg0+52/4", "arg1+48/4", "arg1+52/4"),
    )
    for four in names:
        if all(n in i for n in four):
            yield [i[n] if i[n].size() == 64 else z3.SignExt(32, i[n]) for n in four]


def mul_facts(result):
    """In groups: mostly the first will do, and the last is much."""
    if not result.of("mul"):
        return [[]]
    x, y = result.inputs["arg2"], result.inputs["arg3"]
    points = ((x, y), (low_signed(x), low_signed(y)))
    numbers = ((x, y), (low(x), low(y)))
    m = Multiplications(result)
    ranges = [(a, b) for a, b in m.all if not any(touches(e, v) for e in (a, b) for v in (x, y))]
    ranges += [(b, a) for a, b in ranges]
    return [
        [m.low(a, b) for a, b in m.all] + [m.small(a, b) for a, b in m.all],
        [m.box(a, b, sides) for a, b in points for sides in boxes(result)],
        [m.monotone(a, b, c, d) for a, b in numbers for c, d in ranges]
        + [m.monotone(c, d, a, b) for a, b in numbers for c, d in ranges],
    ]


def touches(term, variable):
    """Does the term contain the variable?"""
    return term.get_id() == variable.get_id() or any(touches(c, variable) for c in term.children())


def congruent(terms):
    """Same operands, same result."""
    return [
        z3.Implies(z3.And(a == c, b == d), q == p)
        for n, (q, a, b) in enumerate(terms)
        for p, c, d in terms[:n]
    ]


def udiv_facts(terms):
    out = []
    for q, a, b in terms:
        out.append(z3.Implies(b != 0, z3.ULE(q, a)))
        for p, c, d in terms:
            premise = z3.And(z3.ULE(a, c), z3.UGE(b, d), d != 0)
            out.append(z3.Implies(premise, z3.ULE(q, p)))
    return out


def urem_facts(terms):
    out = []
    for r, a, b in terms:
        below = z3.And(z3.ULT(r, b), z3.ULE(r, a), z3.Implies(z3.ULT(a, b), r == a))
        out.append(z3.Implies(b != 0, below))
        out.append(z3.Implies(z3.And(b != 0, b & (b - 1) == 0), r == a & (b - 1)))
    return out


def plain(b):
    """Dividing by neither: one is undefined, the other may overflow."""
    return z3.And(b != 0, b != -1)


def sdiv_facts(terms):
    out = []
    for q, a, b in terms:
        bounds = z3.If(a >= 0, z3.And(-a <= q, q <= a), z3.And(a <= q, q <= ~a))
        out.append(z3.Implies(plain(b), bounds))
        for p, c, d in terms:
            ordered = z3.If(b > 0, q <= p, q >= p)
            out.append(z3.Implies(z3.And(plain(b), b == d, a <= c), ordered))
    return out


def srem_facts(terms):
    out = []
    for r, a, b in terms:
        most = z3.If(b > 0, b - 1, -(b + 1))
        side = z3.If(a >= 0, z3.And(0 <= r, r <= a), z3.And(a <= r, r <= 0))
        out.append(z3.Implies(plain(b), z3.And(-most <= r, r <= most, side)))
    return out


def instances(result):
    """Groups of facts: each is to be added to the ones before when those are not enough."""
    first = []
    for kind, facts in (("udiv", udiv_facts), ("urem", urem_facts), ("sdiv", sdiv_facts), ("srem", srem_facts)):
        terms = result.of(kind)
        first += facts(terms) + congruent(terms)
    groups = mul_facts(result)
    return [first + groups[0]] + groups[1:]


# --- the facts' proofs -----------------------------------------------------------------------------
A, B, C, D, X, Y, P, Q, R, S = z3.Reals("a b c d x y p q r s")


def distance(r):
    return z3.If(r < 0, -r, r)


def unsigned_division(a, b, q, r):
    return z3.And(a >= 0, b >= 1, q >= 0, a == q * b + r, r >= 0, r < b)


def signed_division(a, b, q, r):
    """Rounded towards 0: the remainder has the dividend's sign."""
    sign = z3.If(a >= 0, r >= 0, r <= 0)
    return z3.And(z3.Or(b >= 1, b <= -2), a == q * b + r, distance(r) < distance(b), sign)


def lemma_mul_low():
    # a number is its low half and some multiple of 2^32, whatever its sign
    m = z3.RealVal(2**32)
    return (A + m * C) * (B + m * D) == A * B + m * (A * D + C * B + m * C * D)


def lemma_mul_small():
    top, half = 2**32 - 1, 2**31
    unsigned = z3.Implies(z3.And(0 <= A, A <= top, 0 <= B, B <= top), A * B <= 2**64 - 1)
    within = z3.And(-half <= A, A < half, -half <= B, B < half)
    return z3.And(unsigned, z3.Implies(within, z3.And(-(2**63) <= A * B, A * B < 2**63)))


def lemma_mul_monotone():
    return z3.Implies(z3.And(0 <= A, A <= C, 0 <= B, B <= D), A * B <= C * D)


def lemma_mul_box():
    inside = z3.And(A <= X, X <= B, C <= Y, Y <= D)
    corners = [A * C, A * D, B * C, B * D]
    lower, upper = z3.Or([c <= X * Y for c in corners]), z3.Or([c >= X * Y for c in corners])
    return z3.Implies(inside, z3.And(lower, upper))


def lemma_mul_by_bits():
    # the invariant of ebpf_tnum_mul(): a factor is its last bit (r) and twice the rest (q)
    return S + (2 * Q + R) * X == (S + R * X) + Q * (2 * X)


def lemma_udiv_monotone():
    # otherwise the smaller one's quotient (q, of a by b) is the larger by 1 or more
    two = z3.And(unsigned_division(A, B, Q, R), unsigned_division(C, D, P, S))
    return z3.Not(z3.And(two, A <= C, B >= D, Q >= P + 1))


def lemma_udiv_below():
    return z3.Implies(unsigned_division(A, B, Q, R), Q <= A)


def lemma_urem():
    below = z3.And(R < B, R <= A)
    small = z3.Not(z3.And(A < B, Q >= 1))  # so q is 0, and r is a
    return z3.Implies(unsigned_division(A, B, Q, R), z3.And(below, small))


def lemma_urem_power_of_two():
    x = z3.BitVec("x", 64)
    return z3.And([z3.URem(x, bv(1 << k)) == x & bv((1 << k) - 1) for k in range(64)])


def lemma_sdiv_monotone():
    two = z3.And(signed_division(A, B, Q, R), signed_division(C, B, P, S))
    # of whole numbers, lemma_srem()
    whole = z3.And(distance(R) <= distance(A), distance(S) <= distance(C))
    return z3.Not(z3.And(two, whole, A <= C, z3.If(B > 0, Q >= P + 1, P >= Q + 1)))


def lemma_sdiv_below():
    # whole numbers: a below 0 is -1 or less, and what is out of bounds is so by 1 or more
    outside = z3.If(A >= 0, z3.Or(Q >= A + 1, Q <= -A - 1), z3.Or(Q <= A - 1, Q >= -A))
    whole = z3.Or(A >= 0, A == -1, A <= -2)
    integral = z3.Implies(A == -1, z3.Or(Q <= -1, Q == 0, Q >= 1))
    return z3.Not(z3.And(signed_division(A, B, Q, R), whole, integral, outside))


def lemma_srem():
    most = distance(B) - 1
    inside = z3.If(A >= 0, z3.And(0 <= R, R <= A), z3.And(A <= R, R <= 0))
    # whole numbers: less than b is at most b - 1; a multiple of b other than 0 is at least as far as b
    whole = z3.And(distance(R) <= most, z3.Or(Q <= -1, Q == 0, Q >= 1))
    return z3.Implies(z3.And(signed_division(A, B, Q, R), whole), inside)


def names():
    return sorted(n for n in globals() if n.startswith("lemma_"))


def solver(name):
    out = z3.Solver() if name == "lemma_urem_power_of_two" else z3.SolverFor("QF_NRA")
    out.add(z3.Not(globals()[name]()))
    return out
