# SPDX-License-Identifier: BSD-2-Clause
#
# LLVM IR (the text, of clang 14 or later) to Z3 terms: functions without loops and without calls but
# to a few intrinsics, as they are left after inlining.
#
# Model: blocks are visited in topological order; a block is reached when an edge into it is taken,
# and a phi is the value of the edge taken. Memory is words at constant offsets of a base (an
# argument, a global, a local); what an argument points to is input. Whatever is not known here is
# an error, never a guess.
import re

import z3


class Unknown(Exception):
    pass


class Result:
    """value: what is returned, a Bool. assumptions: of prove_assume(). inputs: name -> term.
    products: (kind, left, right) of multiplications and divisions, by those operands' identity."""

    def __init__(self):
        self.value = None
        self.assumptions = []
        self.inputs = {}
        self.products = {}

    def product(self, kind, a, b):
        """The unknown that stands for a product; the same one for the same operands."""
        a, b = z3.simplify(a), z3.simplify(b)
        if "mul" in kind and b.get_id() < a.get_id():
            a, b = b, a
        key = (kind, a.get_id(), b.get_id())
        if key not in self.products:
            name = "%s%d" % (kind, len(self.products))
            term = z3.Bool(name) if kind.endswith("overflow") else z3.BitVec(name, 64)
            self.products[key] = (term, a, b)
        return self.products[key][0]

    def of(self, kind):
        return [entry for key, entry in list(self.products.items()) if key[0] == kind]


OPERATION = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b,
    "lshr": z3.LShR,
    "ashr": lambda a, b: a >> b,
}
COMPARISON = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "ult": z3.ULT,
    "ule": z3.ULE,
    "ugt": z3.UGT,
    "uge": z3.UGE,
    "slt": lambda a, b: a < b,
    "sle": lambda a, b: a <= b,
    "sgt": lambda a, b: a > b,
    "sge": lambda a, b: a >= b,
}
# words that say what the result may be undefined for, or nothing at all
FLAGS = r"(?:nuw|nsw|exact|nneg|disjoint|samesign|tail|noundef|zeroext|signext|inbounds|nusw) "
PRODUCTS = ("mul", "udiv", "urem", "sdiv", "srem")


class Popcount:
    """How many bits are set: only ever compared, to tell none, one and more from each other."""

    def __init__(self, term):
        self.none = term == 0
        self.at_most_one = term & (term - 1) == 0

    def compare(self, word, number):
        one = z3.And(self.at_most_one, z3.Not(self.none))
        known = {
            ("ult", 2): self.at_most_one,
            ("ugt", 1): z3.Not(self.at_most_one),
            ("eq", 1): one,
            ("ne", 1): z3.Not(one),
        }
        if (word, number) not in known:
            raise Unknown("a count of bits that is %s %d" % (word, number))
        return known[(word, number)]


def as_bool(term):
    return term if z3.is_bool(term) else term == z3.BitVecVal(1, 1)


def as_bits(term):
    one, zero = z3.BitVecVal(1, 1), z3.BitVecVal(0, 1)
    return z3.If(term, one, zero) if z3.is_bool(term) else term


def choose(condition, yes, no):
    if isinstance(yes, (tuple, list)):
        if yes != no:
            raise Unknown("a choice of pointers or aggregates")
        return yes
    return z3.If(condition, yes, no)


class Module:
    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            self.text = f.read()
        self.types = dict(re.findall(r"(?m)^(%[\w.]+) = type (.*)$", self.text))
        self.bodies = {}
        pattern = r"(?ms)^define [^@\n]*@(\w+)\(([^\n]*)\)[^\n]*\{\n(.*?)^\}"
        for name, arguments, body in re.findall(pattern, self.text):
            self.bodies[name] = (arguments, body)

    def functions(self):
        return [n for n in self.bodies if re.match("prove_|refute_", n)]

    def translate(self, name):
        arguments, body = self.bodies[name]
        return Function(self, arguments, body).run()

    # --- layout of types ---
    def fields(self, text):
        depth, start, out = 0, 0, []
        for i, c in enumerate(text):
            depth += c in "{[<("
            depth -= c in "}]>)"
            if c == "," and not depth:
                out.append(text[start:i].strip())
                start = i + 1
        return out + [text[start:].strip()] if text.strip() else out

    def size(self, kind):
        """(size, alignment) in bytes"""
        if re.fullmatch(r"i\d+", kind):
            n = max(1, int(kind[1:]) // 8)
            return n, min(n, 8)
        if kind == "ptr" or kind.endswith("*"):
            return 8, 8
        if kind in self.types:
            return self.size(self.types[kind])
        array = re.fullmatch(r"\[(\d+) x (.*)\]", kind)
        if array:
            n, align = self.size(array[2])
            return int(array[1]) * n, align
        if kind.startswith("{"):
            return self.offset_of(kind, None)
        raise Unknown("type " + kind)

    def offset_of(self, kind, index):
        at, largest = 0, 1
        for i, field in enumerate(self.fields(kind.strip()[1:-1])):
            n, align = self.size(field)
            at = (at + align - 1) // align * align
            if i == index:
                return at, field
            at += n
            largest = max(largest, align)
        return (at + largest - 1) // largest * largest, largest

    def address(self, kind, indices):
        """The offset of getelementptr's indices, and the type there."""
        at = indices[0] * self.size(kind)[0]
        for i in indices[1:]:
            kind = self.types.get(kind, kind)
            array = re.fullmatch(r"\[(\d+) x (.*)\]", kind)
            if array:
                kind = array[2]
                at += i * self.size(kind)[0]
            else:
                offset, kind = self.offset_of(kind, i)
                at += offset
        return at


class Function:
    def __init__(self, module, arguments, body):
        self.module = module
        self.result = Result()
        self.env = {}
        self.memory = {}  # of the block at hand: (base, offset, bytes) -> term
        self.fresh = 0
        self.returns = []
        self.blocks = self.split(body)
        for i, argument in enumerate(module.fields(arguments)):
            self.argument(i, argument)

    def argument(self, i, text):
        words = text.split()
        if words[0].endswith("*") or words[0] == "ptr":
            self.env[words[-1]] = ("arg%d" % i, 0)
        else:
            self.env[words[-1]] = self.input("arg%d" % i, int(words[0][1:]))

    def input(self, name, width):
        term = z3.BitVec(name, width)
        self.result.inputs[name] = term
        return term

    def split(self, body):
        blocks, label = {}, None
        for line in body.splitlines():
            line = re.sub(r"\s*;.*$", "", line)
            head = re.match(r"([\w.]+):$", line)
            if head:
                label = "%" + head[1]
                blocks[label] = []
            elif line.strip():
                if label is None:
                    label = "%entry"
                    blocks[label] = []
                if blocks[label] and self.continues(blocks[label][-1]):
                    blocks[label][-1] += " " + line.strip()
                else:
                    blocks[label].append(line.strip())
        return blocks

    @staticmethod
    def continues(line):
        return line.startswith("switch") and "]" not in line

    # --- control flow ---
    def targets(self, label):
        return re.findall(r"label (%[\w.]+)", self.blocks[label][-1])

    def order(self):
        done, path, out = set(), set(), []

        def visit(label):
            if label in path:
                raise Unknown("a loop at " + label)
            if label in done:
                return
            path.add(label)
            for target in self.targets(label):
                visit(target)
            path.remove(label)
            done.add(label)
            out.append(label)

        visit(next(iter(self.blocks)))
        return out[::-1]

    def run(self):
        order = self.order()
        entry = order[0]
        # what was the unnamed entry block is known to phis by its number
        aliases = {entry: entry}
        self.incoming = {label: [] for label in order}
        for label in order:
            reached = z3.BoolVal(True) if label == entry else self.enter(label)
            self.label, self.reached = label, reached
            for line in self.blocks[label]:
                self.execute(line)
        self.result.value = z3.And([z3.Implies(c, v) for c, v in self.returns])
        return self.result

    def enter(self, label):
        edges = self.incoming[label]
        merged = dict(edges[0][2])
        for _, condition, memory in edges[1:]:
            for key in set(merged) | set(memory):
                old = merged.get(key, memory.get(key))
                new = memory.get(key, old)
                if not new is old:
                    merged[key] = choose(condition, new, old)
        self.memory = merged
        return z3.Or([condition for _, condition, _ in edges])

    def edge(self, target, condition):
        self.incoming[target].append((self.label, condition, dict(self.memory)))

    # --- values ---
    def value(self, text, kind):
        text = text.strip()
        if text in self.env:
            return self.env[text]
        if kind == "i1" and text in ("true", "false"):
            return z3.BoolVal(text == "true")
        if re.fullmatch(r"i\d+", kind):
            if re.fullmatch(r"-?\d+", text):
                return z3.BitVecVal(int(text), int(kind[1:]))
            if text in ("undef", "poison"):
                return self.any(int(kind[1:]))
        if text.startswith("@"):
            return (text, 0)
        constant = re.fullmatch(r"(?:bitcast|getelementptr)\b.*?(@[\w.]+).*", text)
        if constant and not re.search(r"i64 [1-9]|i32 [1-9]", text):
            return (constant[1], 0)
        if text in ("undef", "poison"):
            return [None, None]
        raise Unknown("value %s of %s" % (text, kind))

    def any(self, width):
        self.fresh += 1
        return self.input("any%d" % self.fresh, width)

    def operands(self, text):
        kind, rest = text.split(" ", 1)
        left, right = self.module.fields(rest)[:2]
        return kind, self.value(left, kind), self.value(right, kind)

    # --- instructions ---
    def execute(self, line):
        line = re.sub(r",? ![\w.]+( ![\w.]+)*", "", line)
        line = re.sub(r" #\d+$", "", line)
        line = re.sub(FLAGS, "", line)
        target, text = None, line
        if re.match(r"%[\w.]+ = ", line):
            target, text = line.split(" = ", 1)
        word, rest = (text.split(" ", 1) + [""])[:2]
        method = getattr(self, "do_" + word, None)
        if word in OPERATION:
            value = self.binary(word, rest)
        elif word in PRODUCTS:
            value = self.product(word, rest)
        elif method:
            value = method(rest)
        else:
            raise Unknown(line)
        if target:
            self.env[target] = value

    def binary(self, word, rest):
        kind, a, b = self.operands(rest)
        if kind == "i1":
            a, b = as_bool(a), as_bool(b)
            return {"and": z3.And, "or": z3.Or, "xor": z3.Xor, "add": z3.Xor}[word](a, b)
        return OPERATION[word](a, b)

    def product(self, word, rest):
        kind, a, b = self.operands(rest)
        return self.product_of(word, int(kind[1:]), a, b)

    def product_of(self, word, width, a, b):
        """In 64 bits; of narrower ones the extended operands' low bits are the result."""
        if width < 64:
            extend = z3.SignExt if word in ("sdiv", "srem") else z3.ZeroExt
            return z3.Extract(width - 1, 0, self.product_of(word, 64, extend(64 - width, a), extend(64 - width, b)))
        a, b = z3.simplify(a), z3.simplify(b)
        if word in ("mul", "udiv", "urem") and (z3.is_bv_value(a) or z3.is_bv_value(b)):
            return {"mul": lambda: a * b, "udiv": lambda: z3.UDiv(a, b), "urem": lambda: z3.URem(a, b)}[word]()
        return self.result.product(word, a, b)

    def do_icmp(self, rest):
        word, rest = rest.split(" ", 1)
        kind, a, b = self.operands(rest)
        if kind == "i1":
            a, b = as_bits(a), as_bits(b)
        if isinstance(a, Popcount):
            return a.compare(word, z3.simplify(b).as_long())
        return COMPARISON[word](a, b)

    def do_select(self, rest):
        condition, yes, no = [f.split(" ", 1) for f in self.module.fields(rest)]
        return choose(as_bool(self.value(condition[1], "i1")), self.value(yes[1], yes[0]), self.value(no[1], no[0]))

    def do_phi(self, rest):
        kind, choices = rest.split(" ", 1)
        values = {}
        for value, label in re.findall(r"\[ (.*?), (%[\w.]+) \]", choices):
            values[label] = value
        out = None
        for label, condition, _ in self.incoming[self.label]:
            if label not in values:  # the entry block, whose number nobody wrote
                label = next(l for l in values if l not in self.blocks)
            term = self.value(values[label], kind)
            out = term if out is None else choose(condition, term, out)
        return out

    def cast(self, rest):
        before, after = rest.split(" to ")
        kind, text = before.split(" ", 1)
        return self.value(text, kind), int(kind[1:]), int(after.strip()[1:])

    def do_zext(self, rest):
        term, before, after = self.cast(rest)
        return z3.ZeroExt(after - before, as_bits(term))

    def do_sext(self, rest):
        term, before, after = self.cast(rest)
        return z3.SignExt(after - before, as_bits(term))

    def do_trunc(self, rest):
        term, _, after = self.cast(rest)
        low = z3.Extract(after - 1, 0, term)
        return as_bool(low) if after == 1 else low

    def do_freeze(self, rest):
        kind, text = rest.split(" ", 1)
        return self.value(text, kind)

    def do_bitcast(self, rest):
        kind, text = rest.split(" to ")[0].split(" ", 1)
        return self.value(text, kind)

    def do_getelementptr(self, rest):
        kind, pointer, *indices = self.module.fields(rest)
        base, at = self.value(pointer.split(" ", 1)[1], "ptr")
        numbers = [int(i.split(" ")[1]) for i in indices]
        return (base, at + self.module.address(kind, numbers))

    def do_alloca(self, _):
        self.fresh += 1
        return ("local%d" % self.fresh, 0)

    def do_load(self, rest):
        kind, pointer = self.module.fields(rest)[:2]
        base, at = self.value(pointer.split(" ", 1)[1], "ptr")
        key = (base, at, self.module.size(kind)[0])
        if key in self.memory:
            return self.memory[key]
        for other, start, length in self.memory:
            if other == base and start < at + key[2] and at < start + length:
                raise Unknown("a load of part of a word, or more")
        self.memory[key] = self.known_input(key)
        return self.memory[key]

    def known_input(self, key):
        base, at, length = key
        name = "%s+%d" % (base, at) if length == 8 else "%s+%d/%d" % (base, at, length)
        if not base.startswith("arg"):
            return self.any(8 * length)
        return self.result.inputs.get(name, self.input(name, 8 * length))

    def do_store(self, rest):
        what, pointer = self.module.fields(rest)[:2]
        kind, text = what.split(" ", 1)
        base, at = self.value(pointer.split(" ", 1)[1], "ptr")
        key = (base, at, self.module.size(kind)[0])
        for other, start, length in list(self.memory):
            overlaps = other == base and start < at + key[2] and at < start + length
            if overlaps and (other, start, length) != key:
                raise Unknown("a store to part of a word, or more")
        self.memory[key] = self.value(text, kind)

    def do_extractvalue(self, rest):
        index = int(rest.rsplit(",", 1)[1])
        return self.env[rest.rsplit(",", 1)[0].rsplit(" ", 1)[1]][index]

    def do_br(self, rest):
        targets = self.targets(self.label)
        if len(targets) == 1:
            self.edge(targets[0], self.reached)
            return
        condition = as_bool(self.value(rest.split(",")[0].split(" ", 1)[1], "i1"))
        self.edge(targets[0], z3.And(self.reached, condition))
        self.edge(targets[1], z3.And(self.reached, z3.Not(condition)))

    def do_switch(self, rest):
        kind, text = rest.split(",")[0].split(" ", 1)
        term = self.value(text, kind)
        others, default = self.reached, self.targets(self.label)[0]
        for number, label in re.findall(r"i\d+ (-?\d+), label (%[\w.]+)", rest):
            matches = term == z3.BitVecVal(int(number), int(kind[1:]))
            self.edge(label, z3.And(self.reached, matches))
            others = z3.And(others, z3.Not(matches))
        self.edge(default, others)

    def do_unreachable(self, _):
        pass

    def do_ret(self, rest):
        kind, text = rest.split(" ", 1)
        self.returns.append((self.reached, as_bool(self.value(text, kind))))

    # --- calls ---
    def do_tail(self, rest):
        return self.do_call(rest.split(" ", 1)[1])

    def do_call(self, rest):
        name, text = re.search(r"@([\w.]+)\((.*)\)", rest).groups()
        arguments = [f.rsplit(" ", 1) for f in self.module.fields(text)]
        if re.match(r"llvm\.(lifetime|assume|experimental\.noalias|dbg)", name):
            return None
        if name == "prove_any":
            return self.any(64)
        terms = [self.value(v, k.split(" ")[0]) for k, v in arguments]
        if name == "prove_assume":
            self.result.assumptions.append(z3.Implies(self.reached, as_bool(terms[0])))
            return None
        return self.intrinsic(name, terms)

    def intrinsic(self, name, terms):
        a = terms[0]
        b = terms[1] if len(terms) > 1 else None
        word = name.split(".")[1]
        if word in ("umin", "umax", "smin", "smax"):
            less = z3.ULE(a, b) if word[0] == "u" else a <= b
            return z3.If(less, a, b) if word.endswith("min") else z3.If(less, b, a)
        if word == "ctlz":
            return self.leading_zeros(a)
        if word == "ctpop":
            return Popcount(a)
        if word == "abs":
            return z3.If(a < 0, -a, a)
        if word == "bswap":
            return z3.Concat([z3.Extract(i + 7, i, a) for i in range(0, a.size(), 8)])
        if word in ("fshl", "fshr"):
            return self.funnel(word, a, b, terms[2])
        if word == "usub" and ".sat." in name:
            return z3.If(z3.UGE(a, b), a - b, z3.BitVecVal(0, a.size()))
        if ".with.overflow." in name and word in ("umul", "smul"):
            return self.multiply(word, a, b)
        raise Unknown("intrinsic " + name)

    @staticmethod
    def leading_zeros(a):
        n = a.size()
        out = z3.BitVecVal(n, n)
        for i in range(n):
            out = z3.If(z3.Extract(i, i, a) == 1, z3.BitVecVal(n - 1 - i, n), out)
        return out

    @staticmethod
    def funnel(word, high, low, count):
        n = high.size()
        by = z3.ZeroExt(n, z3.URem(count, z3.BitVecVal(n, n)))
        both = z3.Concat(high, low)
        if word == "fshl":
            return z3.Extract(2 * n - 1, n, both << by)
        return z3.Extract(n - 1, 0, z3.LShR(both, by))

    def multiply(self, word, a, b):
        width = a.size()
        if width < 64:
            extend = z3.ZeroExt if word == "umul" else z3.SignExt
            wide = self.product_of("mul", 64, extend(64 - width, a), extend(64 - width, b))
            low = z3.Extract(width - 1, 0, wide)
            return [low, extend(64 - width, low) != wide]
        term = self.product_of("mul", 64, a, b)
        return [term, self.result.product(word + "_overflow", a, b)]
