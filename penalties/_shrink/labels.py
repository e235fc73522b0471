"""A label for every position of every axis, and which labels must go together."""

from collections.abc import Sequence

import numpy as np

FREE = 0


class Labels:
    """Disjoint sets of labels, some of which are pinned: their positions may not go.

    All operations take arrays of labels. Positions of a *flat* axis, made by merging several axes
    into one, are tied to one label along each of them: a flat position goes when any of its parts goes.

    Label 0 is pinned and stands for no part in the tables of flat positions.
    """

    def __init__(self):
        self._parent = np.arange(1024)
        self._why = np.zeros(1024, np.int32)  # FREE, or the number of a reason; valid at roots
        self._axis = np.zeros(1024, np.int64)  # which axis a label was made for
        self._reasons = ["", "of length 1"]
        self._why[0] = 1
        self.count = 1
        self._axes = 1
        self._changes = 0
        self._flat: list[np.ndarray] = []
        self._parts: list[np.ndarray] = []
        self.derived = np.zeros(0, np.int64)  # after `resolve`: flat roots that have several free parts,
        self.parts = np.zeros((0, 1), np.int64)  # and the roots of these parts, 0 where there are fewer

    def fresh(self, n: int) -> np.ndarray:
        """Labels for a new axis of length n; an axis of length 1 cannot be cut."""
        while self.count + n > len(self._parent):
            size = len(self._parent)
            self._parent = np.concatenate([self._parent, np.arange(size, 2 * size)])
            self._why = np.concatenate([self._why, np.zeros(size, np.int32)])
            self._axis = np.concatenate([self._axis, np.zeros(size, np.int64)])
        new = np.arange(self.count, self.count + n)
        self._axis[new] = self._axes
        self.count += n
        self._axes += 1
        if n == 1:
            self._why[new] = 1
        return new

    def pinned(self, n: int, why: str) -> np.ndarray:
        """Labels for a new axis no position of which may go."""
        new = self.fresh(n)
        self.pin(new, why)
        return new

    def find(self, labels: np.ndarray) -> np.ndarray:
        """The representatives of the sets that these labels are in."""
        root = self._parent[labels]
        while True:
            above = self._parent[root]
            if np.array_equal(above, root):
                self._parent[labels] = root
                return root
            root = above

    def unite(self, a: np.ndarray, b: np.ndarray) -> None:
        """Positions with label a[i] and b[i] go together, for each i; a and b broadcast."""
        a, b = (x.ravel() for x in np.broadcast_arrays(a, b))
        first, second = self.find(a), self.find(b)
        if np.array_equal(first, second):
            return
        self._changes += 1
        why = np.maximum(self._why[first], self._why[second])
        while not np.array_equal(first, second):
            np.minimum.at(self._parent, np.maximum(first, second), np.minimum(first, second))
            first, second = self.find(first), self.find(second)
        pinned = why != FREE
        # Which roots meet is known only now: a set is pinned if any that went into it was.
        self._why[self.find(a)[pinned]] = why[pinned]

    def pin(self, labels: np.ndarray, why: str) -> None:
        """No position with one of these labels may go."""
        root = self.find(labels)
        root = root[self._why[root] == FREE]
        if root.size:
            self._changes += 1
            if why not in self._reasons:
                self._reasons.append(why)
            self._why[root] = self._reasons.index(why)

    def is_pinned(self, labels: np.ndarray) -> np.ndarray:
        return self._why[self.find(labels)] != FREE

    def reason(self, label: int) -> str:
        """Why this label is pinned; "" if it is free."""
        return self._reasons[self._why[self.find(np.array([label]))[0]]]

    # --- axes merged and split by reshapes ---

    def merge(self, parts: list[np.ndarray]) -> np.ndarray:
        """The labels of a flat axis made of these axes, the last one running fastest."""
        if len(parts) == 1:
            return parts[0]
        grid = np.meshgrid(*parts, indexing="ij")
        free = [k for k, part in enumerate(parts) if not self.is_pinned(part).all()]
        if len(free) == 1:
            return grid[free[0]].ravel()
        flat = self.fresh(grid[0].size)
        if not free:
            self.pin(flat, self.reason(int(parts[0][0])))
        else:
            self._tie(flat, grid)
        return flat

    def split(self, flat: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
        """The labels of the axes that a flat axis is cut into."""
        if len(lengths) == 1:
            return [flat]
        if self.is_pinned(flat).all():
            return [self.pinned(n, self.reason(int(flat[0]))) for n in lengths]
        parts = [self.fresh(n) for n in lengths]
        self._tie(flat, np.meshgrid(*parts, indexing="ij"))
        return parts

    def _tie(self, flat: np.ndarray, grid: Sequence[np.ndarray]) -> None:
        self._flat.append(flat)
        self._parts.append(np.stack([g.ravel() for g in grid], 1))

    def resolve(self) -> None:
        """Works out what flat positions and their parts say about each other, until nothing changes."""
        width = max((p.shape[1] for p in self._parts), default=1)
        flat = np.concatenate([*self._flat, np.zeros(0, np.int64)])
        parts = np.concatenate(
            [np.pad(p, ((0, 0), (0, width - p.shape[1]))) for p in self._parts]
            or [np.zeros((0, 1), np.int64)]
        )
        while True:
            changes = self._changes
            root = self.find(flat)
            rows = self._free_parts(parts)
            for why in np.unique(self._why[root[self._why[root] != FREE]]):
                self.pin(rows[self._why[root] == why].ravel(), self._reasons[why])
            count = (rows != 0).sum(1)
            self.pin(root[count == 0], "all parts of a reshaped axis are")
            self.unite(root[count == 1], rows[count == 1, 0])
            several = (count > 1) & ~self.is_pinned(root)
            self._agree(root[several], rows[several])
            if changes == self._changes:
                self.derived, first = np.unique(root[several], return_index=True)
                self.parts = rows[several][first]
                endless = self._part_of_itself()
                if not endless.any():
                    return
                self.pin(self.parts[endless].ravel(), "a reshaped axis is part of itself")

    def _free_parts(self, parts: np.ndarray) -> np.ndarray:
        """The distinct free roots of each row, moved to its left; 0 fills the rest."""
        root = self.find(parts)
        root = np.where(self._why[root] == FREE, root, 0)
        for k in range(1, root.shape[1]):
            again = (root[:, :k] == root[:, k : k + 1]).any(1)
            root[again, k] = 0
        order = np.argsort(root == 0, axis=1, kind="stable")
        return np.take_along_axis(root, order, 1)

    def _agree(self, flat: np.ndarray, rows: np.ndarray) -> None:
        """Positions of one root have the same parts; what cannot have them is pinned."""
        _, first, which = np.unique(flat, return_index=True, return_inverse=True)
        first = first[which]
        count = (rows != 0).sum(1)
        same = count == count[first]
        self.unite(rows[same], rows[first][same])
        cut_twice = "reshapes cut one axis in two ways"
        self.pin(rows[~same].ravel(), cut_twice)
        self.pin(rows[first][~same].ravel(), cut_twice)

    def _part_of_itself(self) -> np.ndarray:
        """Which rows of `parts` lead back to where they came from."""
        endless = np.ones(len(self.derived), bool)
        while True:
            open_ = np.zeros(self.count, bool)
            open_[self.derived[endless]] = True
            still = np.asarray(open_[self.parts].any(1))
            if np.array_equal(still, endless):
                return endless
            endless = still

    # --- what is left when some labels go ---

    def kept(self, base: np.ndarray) -> np.ndarray:
        """For each root, whether its positions stay, when `base` says so of those without parts."""
        keep = base.copy()
        keep[self.derived] = True
        while True:
            all_parts = keep[self.parts].all(1)
            if np.array_equal(keep[self.derived], all_parts):
                return keep
            keep[self.derived] = all_parts

    def spread(self, needed: np.ndarray) -> np.ndarray:
        """`needed`, and the parts of the flat positions that are needed."""
        while True:
            more = self.parts[needed[self.derived]]
            if needed[more].all():
                return needed
            needed[more] = True

    def bases(self, roots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (index into `roots`, root without parts that takes this position along)."""
        index, root = np.arange(roots.size), roots.ravel()
        table = np.full(self.count, -1)
        table[self.derived] = np.arange(len(self.derived))
        while (table[root] >= 0).any():
            below = table[root] >= 0
            more = self.parts[table[root[below]]]
            inner, column = np.nonzero(more)
            index = np.concatenate([index[~below], index[below][inner]])
            root = np.concatenate([root[~below], more[inner, column]])
        pairs = np.unique(np.stack([index, root], 1), axis=0)
        return pairs[:, 0], pairs[:, 1]

    def axis_classes(self) -> np.ndarray:
        """For each label, a number that is the same for labels of axes that have a set in common."""
        axes = Labels()
        axes.fresh(self._axes + 1)
        root = self.find(np.arange(self.count))
        order = np.argsort(root, kind="stable")
        same = np.diff(root[order]) == 0
        axis = self._axis[order]
        # Label n of `axes` was made as the n-th.
        axes.unite(axis[:-1][same], axis[1:][same])
        return axes.find(self._axis[: self.count])
