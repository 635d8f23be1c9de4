"""Rooms meet at their doors: what another room may import, and no circles."""

import ast
import functools

from .test_architecture import FILES, ROOMS, SOURCE, room

# The choices of an axis are named by methods and read by whoever treats them specially: their folders are open.
OPEN = {"adapters.allocation", "adapters.events", "adapters.freezing", "adapters.inits", "adapters.optimizers"}
OPEN |= {"adapters.parametrizations", "adapters.penalties", "adapters.placements", "adapters.scalings"}
OPEN |= {"adapters.storages"}
LARGEST_CIRCLE = 3  # files that know each other's types


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def modules():
    """Every file by its dotted name."""
    return {
        ".".join(("rankwise", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in FILES
    }


def imports(tree, known, *, types):
    """The files that a file imports, wherever in it; those under TYPE_CHECKING only with ``types``."""

    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test) and not types:
                continue
            if isinstance(child, ast.ImportFrom) and child.module and child.module.startswith("rankwise"):
                for alias in child.names:
                    own = f"{child.module}.{alias.name}"
                    yield own if own in known else child.module
            elif isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names if alias.name in known)
            yield from walk(child)

    return set(walk(tree))


def face_of(name):
    """What a room says that others may import: ``PUBLIC`` in its ``__init__``."""
    for node in tree_of(SOURCE / name / "__init__.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PUBLIC":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{name}/__init__.py has no PUBLIC: the modules that other rooms may import")


def test_rooms_import_each_other_by_their_faces():
    faces, known, wrong, used = {name: face_of(name) for name in ROOMS}, modules(), [], {}
    for path in FILES:
        for module in imports(tree_of(path), known, types=True):
            parts = module.split(".")[1:]
            if len(parts) < 2 or parts[0] not in faces or parts[0] == room(path):
                continue
            own = ".".join(parts[1:])
            if any(f"{module.removeprefix('rankwise.')}.".startswith(f"{folder}.") for folder in OPEN):
                continue
            used.setdefault(parts[0], set()).add(own)
            if own not in faces[parts[0]]:
                wrong.append(f"{path.relative_to(SOURCE)} imports {module}, which is not in PUBLIC of {parts[0]}/")
    assert not wrong, "\n".join(wrong)
    unused = {
        name: sorted(face - used.get(name, set())) for name, face in faces.items() if face - used.get(name, set())
    }
    assert not unused, f"in PUBLIC and imported by no other room: {unused}"


def circles(graph):
    """Groups of more than one file that reach each other (Tarjan's algorithm, without recursion)."""
    order, low, stack, found = {}, {}, [], []
    for root in graph:
        if root in order:
            continue
        path = [(root, iter(graph[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        while path:
            node, rest = path[-1]
            for other in rest:
                if other not in order:
                    order[other] = low[other] = len(order)
                    stack.append(other)
                    path.append((other, iter(graph[other])))
                    break
                if other in stack:
                    low[node] = min(low[node], order[other])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == order[node]:
                    cut = stack.index(node)
                    if len(stack) - cut > 1:
                        found.append(sorted(stack[cut:]))
                    del stack[cut:]
    return found


def graph(*, types):
    """What imports what; without the package itself, which names everything for type checkers and holds the version."""
    known = {name: path for name, path in modules().items() if name != "rankwise"}
    return {name: imports(tree_of(path), known, types=types) & set(known) - {name} for name, path in known.items()}


def test_no_circle_of_imports_at_run_time():
    assert not circles(graph(types=False))


def test_circles_of_types_are_small():
    assert not [circle for circle in circles(graph(types=True)) if len(circle) > LARGEST_CIRCLE]
