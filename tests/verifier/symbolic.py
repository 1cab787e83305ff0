"""Our own functions on symbolic numbers: their source is walked with z3's terms in place of ints.

Both sides of an `if` are walked and joined, so a function becomes a list of values, each with the condition under
which it is returned. A loop is cut at its start: what holds there is given, must hold when it is reached, and must hold
again after its body. Ints are bit vectors wide enough for everything that the walked functions compute.
"""

from __future__ import annotations

import ast
import inspect
import operator
import textwrap
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NamedTuple

import z3

WIDTH = 68  # bits: 64, a sign, and what carries
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.BitXor: operator.xor, ast.LShift: operator.lshift, ast.RShift: operator.rshift,
}  # fmt: skip
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip


class Record:
    """An object with symbolic attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Maybe(NamedTuple):
    """A bool or None."""

    none: Any
    value: Any


class _Length(NamedTuple):
    """x.bit_length(), which is only shifted by."""

    of: Any


class _Given(NamedTuple):
    """A method that only gives something back."""

    value: Any


class Returned(NamedTuple):
    """One way out of a function."""

    when: Any
    value: Any


class Unreachable(Exception):
    """A call that no path makes."""


Env = dict[str, Any]
State = tuple[Env, Any]  # and the condition under which it is reached


def is_symbolic(x: object) -> bool:
    return isinstance(x, z3.ExprRef)


def truth(x: Any) -> Any:
    """x as a condition."""
    if isinstance(x, z3.BoolRef):
        return x
    return x != 0 if is_symbolic(x) else bool(x)


def both(a: Any, b: Any) -> Any:
    if a is True or b is False:
        return b
    return a if b is True or a is False else z3.And(a, b)


def _number(x: Any) -> Any:
    """x in a sum: a condition counts 1."""
    return z3.If(x, z3.BitVecVal(1, WIDTH), z3.BitVecVal(0, WIDTH)) if isinstance(x, z3.BoolRef) else x


def negation(a: Any) -> Any:
    return z3.Not(a) if is_symbolic(a) else not a


def join(when: Any, a: Any, b: Any) -> Any:
    """a where `when` holds, else b."""
    if a is b or (not is_symbolic(a) and not is_symbolic(b) and type(a) is type(b) and a == b):
        return a
    if isinstance(a, Record):
        return Record(**{name: join(when, x, b.__dict__[name]) for name, x in a.__dict__.items()})
    if isinstance(a, tuple) and not isinstance(a, Maybe):
        return tuple(join(when, x, y) for x, y in zip(a, b, strict=True))
    if a is None or b is None or isinstance(a, Maybe) or isinstance(b, Maybe):
        (na, va), (nb, vb) = _maybe(a), _maybe(b)
        return Maybe(z3.If(when, na, nb), z3.If(when, va, vb))
    if isinstance(a, bool | z3.BoolRef):
        return z3.If(when, truth(a), truth(b))
    return z3.If(when, a, b)


def _maybe(x: Any) -> tuple[Any, Any]:
    if isinstance(x, Maybe):
        return x.none, x.value
    return z3.BoolVal(x is None), z3.BoolVal(False) if x is None else truth(x)


def maximum(a: Any, b: Any) -> Any:
    return max(a, b) if not is_symbolic(a) and not is_symbolic(b) else z3.If(a >= b, a, b)


def minimum(a: Any, b: Any) -> Any:
    return min(a, b) if not is_symbolic(a) and not is_symbolic(b) else z3.If(a <= b, a, b)


def smeared(x: Any) -> Any:
    """(1 << x.bit_length()) - 1 of a number that is not negative."""
    if not is_symbolic(x):
        return (1 << x.bit_length()) - 1
    distance = 1
    while distance < x.size():
        x = x | z3.LShR(x, distance)
        distance *= 2
    return x


class Machine:
    """Walks functions. hooks: what to do in place of a function; holds: what is true at the start of loops.

    owed: what loops have left to prove; known: what hooks have said of the numbers that they made up.
    """

    def __init__(
        self,
        hooks: dict[Any, Callable[..., Any]],
        holds: Callable[[Env], Any] | None = None,
        made: Callable[[str], Any] | None = None,
    ) -> None:
        self.hooks = {id(what): hook for what, hook in hooks.items()}
        self.kept = list(hooks)  # so that no id is used twice
        self.holds = holds
        self.made = made or (lambda name: z3.BitVec(name, WIDTH))
        self.owed: list[Any] = []
        self.known: list[Any] = []
        self.stack: list[Any] = []
        self.count = 0

    def fresh(self, name: str) -> Any:
        self.count += 1
        return self.made(f"{name}.{self.count}")

    def run(self, function: Any, *arguments: Any, when: Any = True) -> list[Returned]:
        """All ways out of a function."""
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        names = [argument.arg for argument in tree.args.args]
        env: Env = dict(zip(names, arguments, strict=False))
        for name, default in zip(reversed(names), reversed(tree.args.defaults), strict=False):
            env.setdefault(name, ast.literal_eval(default))
        if tree.args.vararg is not None:
            env[tree.args.vararg.arg] = tuple(arguments[len(names) :])
        self.stack.append(function)
        found: list[Returned] = []
        after = self.block(tree.body, (env, when), found)
        assert after is None, f"{function.__name__} ends without a return"
        self.stack.pop()
        return found

    def call(self, function: Any, arguments: Sequence[Any], when: Any) -> Any:
        if id(function) in self.hooks:
            return self.hooks[id(function)](*arguments)
        if function in (min, max):
            given = list(arguments[0]) if len(arguments) == 1 else list(arguments)
            found = given[0]
            for x in given[1:]:
                found = (maximum if function is max else minimum)(found, x)
            return found
        assert isinstance(function, FunctionType), function
        if function in self.stack and not self.possible(when):
            raise Unreachable  # a function that calls itself with its operands exchanged does so once
        ways = self.run(function, *arguments, when=when)
        found = ways[-1].value
        for each in reversed(ways[:-1]):
            found = join(each.when, each.value, found)
        return found

    def possible(self, when: Any) -> bool:
        solver = z3.Solver()
        solver.add(*self.known, when)
        return solver.check() != z3.unsat

    # --- statements

    def block(self, statements: Sequence[ast.stmt], state: State, found: list[Returned]) -> State | None:
        for statement in statements:
            after = self.statement(statement, state, found)
            if after is None:
                return None
            state = after
        return state

    def statement(self, s: ast.stmt, state: State, found: list[Returned]) -> State | None:
        env, when = state
        match s:
            case ast.Return():
                found.append(Returned(when, None if s.value is None else self.value(s.value, env, when)))
                return None
            case ast.Expr(value=ast.Constant()):
                return state
            case ast.Assign(targets=[target]):
                return self.assigned(target, self.value(s.value, env, when), env), when
            case ast.Assign():
                given = self.value(s.value, env, when)
                for target in s.targets:
                    env = self.assigned(target, given, env)
                return env, when
            case ast.AugAssign(target=ast.Name(id=name)):
                operation = _BINARY[type(s.op)]
                return {**env, name: operation(env[name], self.value(s.value, env, when))}, when
            case ast.If():
                return self.branch(s, state, found)
            case ast.For():
                return self.loop(s, state, found)
            case ast.Break():
                assert self.holds is not None
                self.owed.append(z3.Implies(when, self.holds(env)))
                return None
        raise AssertionError(ast.dump(s))

    def assigned(self, target: ast.expr, given: Any, env: Env) -> Env:
        if isinstance(target, ast.Name):
            return {**env, target.id: given}
        assert isinstance(target, ast.Tuple)
        for each, x in zip(target.elts, given, strict=True):
            env = self.assigned(each, x, env)
        return env

    def branch(self, s: ast.If, state: State, found: list[Returned]) -> State | None:
        env, when = state
        test = truth(self.value(s.test, env, when))
        if not is_symbolic(test):
            return self.block(s.body if test else s.orelse, state, found)
        before = len(found)
        yes = self.reachable(s.body, (env, both(when, test)), found)
        no = self.reachable(s.orelse, (env, both(when, negation(test))), found)
        if yes is None or no is None:
            return yes or no
        joined = {name: join(test, x, no[0][name]) for name, x in yes[0].items() if name in no[0]}
        return joined, when if len(found) == before else z3.Or(yes[1], no[1])

    def reachable(self, statements: Sequence[ast.stmt], state: State, found: list[Returned]) -> State | None:
        depth = len(self.stack)
        try:
            return self.block(statements, state, found)
        except Unreachable:
            del self.stack[depth:]
            return None

    def loop(self, s: ast.For, state: State, found: list[Returned]) -> State:
        assert self.holds is not None
        env, when = state
        self.owed.append(z3.Implies(when, self.holds(env)))
        changed = {n.id for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for _ in ("the body from anywhere", "what follows from anywhere"):
            env = {name: self.fresh(name) if name in changed else x for name, x in env.items()}
            self.known.append(self.holds(env))
            if _ == "the body from anywhere":
                after = self.block(s.body, (env, when), found)
                if after is not None:
                    self.owed.append(z3.Implies(after[1], self.holds(after[0])))
        return env, when

    # --- expressions

    def value(self, e: ast.expr, env: Env, when: Any) -> Any:
        match e:
            case ast.Constant():
                return e.value
            case ast.Name():
                if e.id in env:
                    return env[e.id]
                scope = self.stack[-1].__globals__
                return scope[e.id] if e.id in scope else scope["__builtins__"][e.id]
            case ast.Tuple():
                return tuple(self.several(e.elts, env, when))
            case ast.Attribute():
                return self.attribute(self.value(e.value, env, when), e.attr)
            case ast.Slice(lower=ast.Constant(value=start), upper=None, step=None):
                return slice(start, None)
            case ast.Subscript():
                return self.value(e.value, env, when)[self.value(e.slice, env, when)]
            case ast.BinOp():
                return self.binary(e, env, when)
            case ast.UnaryOp():
                x = self.value(e.operand, env, when)
                if isinstance(e.op, ast.Not):
                    return Maybe(x.none, negation(x.value)) if isinstance(x, Maybe) else negation(truth(x))
                return -x if isinstance(e.op, ast.USub) else ~x
            case ast.BoolOp():
                return self.connected(e, env, when)
            case ast.Compare():
                return self.compared(e, env, when)
            case ast.IfExp():
                test = truth(self.value(e.test, env, when))
                if not is_symbolic(test):
                    return self.value(e.body if test else e.orelse, env, when)
                yes = self.value(e.body, env, both(when, test))
                return join(test, yes, self.value(e.orelse, env, both(when, negation(test))))
            case ast.Call():
                function = self.value(e.func, env, when)
                if isinstance(function, _Length):
                    return function
                if isinstance(function, _Given):
                    return function.value
                given = [*self.several(e.args, env, when), *(self.value(k.value, env, when) for k in e.keywords)]
                return self.call(function, given, when)
        raise AssertionError(ast.dump(e))

    def several(self, elements: Sequence[ast.expr], env: Env, when: Any) -> list[Any]:
        found: list[Any] = []
        for each in elements:
            if isinstance(each, ast.Starred):
                found += self.value(each.value, env, when)
            else:
                found.append(self.value(each, env, when))
        return found

    def attribute(self, of: Any, name: str) -> Any:
        if name == "bit_length":
            return _Length(of)
        if isinstance(of, Record) and name == "fields":
            return _Given(of.__dict__["fields"])
        return getattr(of, name)

    def binary(self, e: ast.BinOp, env: Env, when: Any) -> Any:
        a, b = self.value(e.left, env, when), self.value(e.right, env, when)
        if isinstance(b, _Length):  # 1 << x.bit_length()
            return smeared(b.of) + 1
        return _BINARY[type(e.op)](_number(a), _number(b))

    def connected(self, e: ast.BoolOp, env: Env, when: Any) -> Any:
        wanted = isinstance(e.op, ast.And)
        found: list[Any] = []
        for each in e.values:
            x = truth(self.value(each, env, when))
            if is_symbolic(x):
                found.append(x)
            elif x is not wanted:
                return x
        if not found:
            return wanted
        return z3.And(*found) if wanted else z3.Or(*found)

    def compared(self, e: ast.Compare, env: Env, when: Any) -> Any:
        left, found = self.value(e.left, env, when), []
        for op, right in zip(e.ops, e.comparators, strict=True):
            x = self.value(right, env, when)
            if isinstance(op, ast.In):
                found.append(left in x)
            elif isinstance(op, ast.Is):
                found.append(left.none if isinstance(left, Maybe) else left is x)
            elif isinstance(op, ast.IsNot):
                found.append(negation(left.none) if isinstance(left, Maybe) else left is not x)
            elif isinstance(left, tuple):
                found.append(z3.And(*[a == b for a, b in zip(left, x, strict=True)]))
            elif isinstance(left, z3.BoolRef) or isinstance(x, z3.BoolRef):
                found.append(_COMPARE[type(op)](truth(left), truth(x)))
            else:
                found.append(_COMPARE[type(op)](left, x))
            left = x
        if all(not is_symbolic(x) for x in found):
            return all(found)
        return z3.And(*found)


def refuted(*claims: Any, seconds: int = 300, logic: str = "QF_BV") -> str:
    """Nothing if what is claimed cannot be true all at once; else a case in which it is, or why none was found."""
    solver = z3.SolverFor(logic)
    solver.set("timeout", seconds * 1000)
    solver.add(*claims)
    result = solver.check()
    if result == z3.unsat:
        return ""
    return str(solver.model()) if result == z3.sat else f"not decided: {solver.reason_unknown()}"
