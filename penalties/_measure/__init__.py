"""What is seen of a penalty and of params: describe, sparsity, optimality."""
