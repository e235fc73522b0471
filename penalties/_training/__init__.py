"""Training with penalties: the optax transforms, and the rule for exact zeros."""
