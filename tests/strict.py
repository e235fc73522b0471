"""The flags of a new Python whose warnings are errors, as they are in the tests (see pyproject.toml)."""

# Flax 0.12.0 asks jax 0.8 for a name that is deprecated there.
STRICT = ("-W", "error", "-W", "ignore::DeprecationWarning:flax.nnx.variablelib")
