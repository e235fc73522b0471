"""Which strength: where a path begins, paths, cross-validation, a solver for convex problems."""
